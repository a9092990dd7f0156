"""What the jobs of a multirun are told apart by."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from dal.cli import config, variants
from dal.cli.series import FOLDER_VARIABLE
from tests.cli.test_series import series


def run_dir(*overrides: str) -> str:
    """The run directory of a job, and its variant."""
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        cfg = compose("config", overrides=list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return str(cfg.run_dir)


@pytest.mark.parametrize(
    ("multirun", "job", "expected"),
    [
        (["strategy=random,bait", "seed=0,1"], ["strategy=bait", "seed=1"], "digits/bait/seed_1"),
        (["al.num_acq=3", "seed=0,1"], ["al.num_acq=3", "seed=1"], "digits/bait_binary/seed_1"),
        (
            ["head.optimizer.lr=0.1,0.2", "+trainer.precision=16,32"],
            ["head.optimizer.lr=0.2", "+trainer.precision=16"],
            "digits/bait_binary/head.optimizer.lr=0.2,trainer.precision=16/seed_0",
        ),
        (  # what no result depends on, and what names runs
            ["logger=csv,wandb", "name=a,b", "trainer.devices=1,2", "+experiment=digits,cifar10"],
            ["logger=csv", "name=b", "trainer.devices=2", "+experiment=digits"],
            "b/bait_binary/seed_0",
        ),
        (["data=digits,arrays"], ["data=arrays", "data.path=x"], "arrays/bait_binary/seed_0"),
        (
            ["name=mine", "data=digits,arrays"],
            ["name=mine", "data=arrays", "data.path=x"],
            "mine/bait_binary/data=arrays/seed_0",
        ),
        (
            ["name=x", "data=arrays", "data.path=/a/b,'c d'"],
            ["name=x", "data=arrays", "data.path='c d'"],
            "x/bait_binary/data.path=_c_d_/seed_0",
        ),
        (
            ["head.optimizer.lr=interval(0,1)"],
            ["head.optimizer.lr=0.12345678901234567"],
            "digits/bait_binary/head.optimizer.lr=0.123457/seed_0",
        ),
    ],
)
def test_a_run_directory_names_what_varies(
    multirun: list[str],
    job: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    alone = run_dir(*job)
    begun = series(tmp_path, *multirun)
    assert run_dir(*job) == f"outputs/{expected}"
    begun.end()
    parts = expected.split("/")
    assert alone == "/".join(["outputs", *parts[:2], parts[-1]])


def test_long_variants_fit_into_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    ends = ("a" * 300, "a" * 299 + "b")
    begun = series(tmp_path, f"data.path={','.join(ends)}")
    paths = {run_dir("data=arrays", "name=x", f"data.path={end}") for end in ends}
    begun.end()
    assert len(paths) == 2
    assert all(len(Path(path).parent.name) == variants.MAX_LENGTH for path in paths)
