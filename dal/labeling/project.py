"""A labeling project: what it takes over, what it hands out next, and how far it is.

One call of :meth:`Project.advance` is one step. Everything that it decides depends on the files of
the project alone, so that a step that was killed anywhere is finished by the same call, and a call
that brings nothing new changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L

from dal.data import Source
from dal.data.listener import PoolListener
from dal.errors import ConfigError
from dal.heads import LinearHead
from dal.labeling import history
from dal.labeling.folder import ProjectFolder, Round
from dal.labeling.step import UnfinishedStep
from dal.runtime.trainers import DEFAULT_TRAINER
from dal.strategies import Strategy


@dataclass(frozen=True)
class Step:
    """What a call has done.

    Attributes:
        round: The last round, whether this call has made it or an earlier one; None if nothing
            could be handed out.
        is_new: Whether this call has made it.
        num_taken: Answers that were taken over by this call.
        num_skipped: Of these, items that were skipped.
        num_waiting: Items that were handed out and have no answer yet.
        notes: What the user should know beside that, one sentence each.
        history: The measures of all rounds, in order.
    """

    round: Round | None
    is_new: bool
    num_taken: int
    num_skipped: int
    num_waiting: int
    notes: list[str] = field(default_factory=list)
    history: list[Mapping[str, Any]] = field(default_factory=list)


class Project:
    """Items that people label, in rounds.

    Args:
        path: The folder of the project. It is made by the first call of :meth:`advance`.
        source: The items, of which no label need be known; those that it has are not used.
        head: Makes the head, called as ``head(num_features=D, num_classes=K)``.
        trainer: Makes the trainer of a fit.
        batch_size: Rows in a training batch.
        scale: What features are scaled to, as in :class:`~dal.data.ALDataModule`.
        in_memory: Whether their features are kept in memory, as there.
        seed: Of every random number.
        copies: Whether a round holds copies of its images, which people may move into folders, one
            for each class.
        made_from: What the source is, in plain values: another source is refused later on.
        settings: Further plain values to keep in ``project.yaml``.

    Attributes:
        listener: Is told how far the items are read and selected from.
    """

    listener: PoolListener | None = None

    def __init__(
        self,
        path: str | Path,
        source: Source,
        head: Callable[..., L.LightningModule] = LinearHead,
        trainer: Callable[..., L.Trainer] = DEFAULT_TRAINER,
        batch_size: int = 128,
        scale: str | float = "auto",
        in_memory: str | bool = "auto",
        seed: int = 0,
        copies: bool = True,
        made_from: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = ProjectFolder(path)
        self.source = source
        self.head = head
        self.trainer = trainer
        self.batch_size = batch_size
        self.scale = scale
        self.in_memory = in_memory
        self.seed = seed
        self.copies = copies
        self.made_from = dict(made_from or {})
        self.settings = dict(settings or {})

    def advance(
        self,
        num: int = 50,
        labels: str | Path | None = None,
        audit: int = 0,
        strategy: str | Strategy | None = None,
        more: bool = False,
        relabel: bool = False,
        columns: tuple[str, str] = ("id", "label"),
    ) -> Step:
        """Takes answers over, and hands out the next items.

        Args:
            num: Items of the next round; fewer if fewer are left. 0 for none.
            labels: The answers, see :func:`dal.labeling.answers.read_answers`.
            audit: Items of the audit sample, which is drawn uniformly and never fitted to. It
                grows if a later call asks for more.
            strategy: What selects; see :func:`dal.labeling.selection.strategy`.
            more: Whether to hand out another round though nothing has been labeled since the last.
            relabel: Whether an answer may replace an earlier one of the same item.
            columns: The names of the columns with ids and labels.

        Raises:
            DalError: If an answer, an item or the folder is not as expected; nothing is changed
                then.
        """
        for name, value in (("num", num), ("audit", audit)):
            if value < 0:
                raise ConfigError(f"Expected `{name}` of at least 0, got {value}.")
        with self.folder.hold():
            step = UnfinishedStep(self, num, audit, strategy)
            if labels is not None:
                step.read(labels, columns, relabel)
            step.check()
            step.draw_audit()
            is_new = step.choose(more)
            # Everything above may refuse; from here on the disk is written to.
            step.write()
            step.mention_audit()
            rows = history.read(self.folder, step.audit_labels)
            history.write(self.folder, rows)
        rounds = self.folder.of_kind("round")
        return Step(
            round=rounds[-1] if rounds else None,
            is_new=is_new,
            num_taken=step.num_taken,
            num_skipped=step.num_skipped,
            num_waiting=len(step.waiting),
            notes=step.notes,
            history=rows,
        )
