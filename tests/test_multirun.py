"""``python -m dal.train -m`` as a user runs it."""

import json
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from tests.conftest import SHORT, Command


def test_a_multirun_is_every_combination(command: Command, tmp_path: Path) -> None:
    status, out, _ = command("-m", *SHORT, "strategy=random,margin", "seed=0,1")
    assert status == 0
    found = {str(path.parent) for path in tmp_path.glob("outputs/*/*/*/summary.json")}
    assert len(found) == 4
    for run in ("random seed 0", "random seed 1", "margin seed 0", "margin seed 1"):
        assert f"digits {run}: AUC" in out
    assert "(4 of 4 runs)" in out
    assert out.endswith("Compare them: python -m dal.report outputs/digits\n")
    table = [line.split() for line in out.splitlines()]
    for strategy in ("random", "margin"):
        summaries = [
            json.loads(
                (tmp_path / f"outputs/digits/{strategy}/seed_{seed}/summary.json").read_text()
            )
            for seed in (0, 1)
        ]
        auc = [summary["auc"] for summary in summaries]
        row = [strategy, "2", f"{np.mean(auc):.2f}", "±", f"{np.std(auc, ddof=1):.2f}"]
        assert row in [words[:5] for words in table]
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["digits"]


def test_a_multirun_over_other_keys_has_directories_of_its_own(
    command: Command, tmp_path: Path
) -> None:
    arguments = ["-m", *SHORT, "strategy=random", "head.optimizer.lr=0.1,0.2", "al.num_init=20"]
    status, out, err = command(*arguments)
    assert (status, err) == (0, "")
    assert out.startswith(
        "2 runs, one by one.\ndigits random seed 0, head.optimizer.lr=0.1 in "
        "outputs/digits/random/head.optimizer.lr=0.1/seed_0\n"
    )
    folder = tmp_path / "outputs" / "digits" / "random"
    for rate in (0.1, 0.2):
        run = folder / f"head.optimizer.lr={rate}" / "seed_0"
        assert OmegaConf.load(run / "config.yaml").head.optimizer.lr == rate
        assert f"digits random seed 0, head.optimizer.lr={rate}: AUC" in out
    assert "is complete already" in command(*arguments)[1]
    # A single run has the plain directory, whatever it overrides.
    assert command(*SHORT, "strategy=random", "head.optimizer.lr=0.1")[0] == 0
    assert (folder / "seed_0" / "summary.json").exists()


def test_a_failing_job_leaves_the_others(command: Command, tmp_path: Path) -> None:
    status, out, err = command("-m", *SHORT, "strategy=random", "al.num_init=9999,10")
    assert status == 1
    assert "got 1131" in err
    assert err.endswith(
        "1 of 2 jobs failed:\n  digits random seed 0, al.num_init=9999 (trainer.max_epochs=2 "
        "al.num_acq=2 strategy=random al.num_init=9999): Expected a pool of at least num_init + "
        "acq_size × num_acq = 9999 + 10 × 2 = 10019 examples, got 1131. Ask for fewer, or lower "
        "dev_fraction.\n"
    )
    assert "digits random seed 0, al.num_init=10: AUC" in out
    assert "(2 of 2 runs)" in out
    run = tmp_path / "outputs" / "digits" / "random" / "al.num_init=10" / "seed_0"
    assert (run / "summary.json").exists()


def test_intervals_need_a_sweeper_that_draws(command: Command) -> None:
    status, out, err = command("-m", *SHORT, "head.optimizer.lr=interval(0.1,1)")
    assert (status, out) == (1, "")
    assert "Add hydra/sweeper=optuna" in err
