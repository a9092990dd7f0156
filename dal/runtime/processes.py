"""The processes of one run, one for each device, which Lightning numbers by rank.

Every process has all data and fits every head: that takes a fraction of a second, less than it
would take to share the work. Some strategies share the rows of the pool
(:mod:`dal.functional.sharding`). What must not differ is the state: the first process alone reads
and writes the run directory, and the others continue with what it read and selected.
"""

import os
import signal
import time
from types import TracebackType
from typing import Self, TypeVar, cast

import lightning as L
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch.nn.parallel import DistributedDataParallel

from dal.errors import ConfigError, ProcessError
from dal.runtime.trainers import quiet_lightning

T = TypeVar("T")

REPORT_GRACE_SECONDS = 2.0  # for which the others wait for the first process's message
EXIT_GRACE_SECONDS = 10.0  # from a broken connection to the exit of the process that broke it


class Processes:
    """This process among those of its run; as a context manager, the end of all if one fails.

    Args:
        trainer: Made for its devices and strategy; it is not used to fit.

    Raises:
        ConfigError: If the strategy cannot run this program in every process.
    """

    def __init__(self, trainer: L.Trainer) -> None:
        self._trainer = trainer
        self._parent = os.getppid()
        self._is_connected = False
        launcher = trainer.strategy.launcher
        if self.num > 1 and not (
            isinstance(trainer.strategy, DDPStrategy)
            and isinstance(launcher, _SubprocessScriptLauncher)
        ):
            raise ConfigError(
                "Expected trainer.strategy=ddp with several devices, got another one "
                f"({type(trainer.strategy).__name__}, {type(launcher).__name__.strip('_')}): every "
                "process must run the whole program."
            )

    @property
    def num(self) -> int:
        """How many there are."""
        return self._trainer.world_size

    @property
    def is_first(self) -> bool:
        """Whether this one reads, writes and prints."""
        return self._trainer.is_global_zero

    @property
    def all_started(self) -> bool:
        """Whether the others run already, started by torchrun, by SLURM or by an earlier call."""
        if self.num == 1:
            return False
        environment = cast(DDPStrategy, self._trainer.strategy).cluster_environment
        return environment is not None and environment.creates_processes_externally

    def connect(self) -> None:
        """Starts the other processes, unless they run, and waits until all are here."""
        if self.num == 1 or self._is_connected:
            return
        strategy = cast(DDPStrategy, self._trainer.strategy)
        with quiet_lightning():
            cast(_SubprocessScriptLauncher, strategy.launcher).launch(
                strategy.setup_environment, trainer=self._trainer
            )
        self._is_connected = True
        if not self.is_first:
            # It is the first process that is told to stop, and that ends the others.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                signal.signal(number, signal.SIG_IGN)

    def wait(self) -> None:
        """Returns when all of them have called it."""
        self.connect()
        self._trainer.strategy.barrier()

    def shared(self, value: T) -> T:
        """The value that the first process gives, in every process; all of them must call it."""
        self.connect()
        return value if self.num == 1 else self._trainer.strategy.broadcast(value)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or not self._is_connected:
            return
        launcher = cast(_SubprocessScriptLauncher, self._trainer.strategy.launcher)
        is_connection = isinstance(error, RuntimeError)  # what torch raises for a broken one
        if self.is_first:
            failed = self._failed_process(launcher) if is_connection else None
            # Not SIGTERM: in a collective operation they would wait for this process forever.
            launcher.kill(signal.SIGKILL)
            if failed is not None:
                number, status = failed
                raise ProcessError(
                    f"The process of rank {number} has ended with status {status}; its own message "
                    "is above. Run the same command again to resume."
                ) from error
        elif is_connection and os.getppid() != self._parent:
            raise SystemExit(1) from error  # nobody is left to tell
        elif isinstance(error, Exception):
            # If the first process fails for the same reason, it says so and then ends this one.
            time.sleep(REPORT_GRACE_SECONDS)

    def _failed_process(self, launcher: _SubprocessScriptLauncher) -> tuple[int, int] | None:
        """Rank and status of the process behind a broken connection, if one ends shortly."""
        deadline = time.monotonic() + EXIT_GRACE_SECONDS
        while launcher.procs and time.monotonic() < deadline:
            for number, process in enumerate(launcher.procs, start=1):
                if process.poll():
                    return number, process.returncode
            time.sleep(0.05)
        return None


class SkipGradientSync(L.Callback):
    """Leaves every process its own gradients, which are those of all the others.

    Their mean, which Lightning would otherwise compute after every step, may differ from them in
    the last bit, and takes longer than the step.
    """

    def on_train_batch_start(self, trainer: L.Trainer, *_: object) -> None:
        """Switches the averaging off: Lightning switches it on again after each batch."""
        model = trainer.strategy.model
        if isinstance(model, DistributedDataParallel):
            model.require_backward_grad_sync = False
