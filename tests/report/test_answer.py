import re
from pathlib import Path

import pytest

from dal.report import answer
from dal.report.results import Results
from tests.report.conftest import Writer, read


def said(results: Results) -> str:
    return answer.plain(answer.answer(results))


def write_study(
    write_run: Writer, name: str, finals: dict[str, float], num_seeds: int = 5, spread: float = 0.01
) -> None:
    """Runs with AUC of half the final accuracy; seeds differ by a little."""
    for seed in range(num_seeds):
        for place, (strategy, final) in enumerate(finals.items()):
            wobble = spread * ((seed * (place + 1)) % 3 - 1)
            write_run([0.0, final + wobble], strategy, seed, name, fingerprint=name)


def test_one_dataset(write_run: Writer, tmp_path: Path) -> None:
    write_study(write_run, "toy", {"random": 0.6, "margin": 0.7, "badge": 0.66, "entropy": 0.5})
    found = answer.answer(read(tmp_path))
    assert found[0] == ("Margin is best on toy", True)
    assert found[1].text.startswith(" (+5.")
    text = answer.plain(found)
    assert "AUC over Random; 5 seeds, significant after correction in the t-test" in text
    assert "not in Wilcoxon's" in text
    assert re.search(r"Next: BADGE \(\+\d\.\d\d\), then Random \(the baseline\)\.", text)
    assert re.search(r"Below Random: Entropy \(−\d\.\d\d\)\.", text)
    assert "A selection takes 0.50 s with Margin and 0.50 s with BADGE." in text


def test_the_same_strategy_on_both_datasets(results: Results) -> None:
    text = said(results.subset(results.frame["dataset"] != "third"))
    assert re.match(
        r"Margin is best on both datasets \(\+\d\.\d\d, \+\d\.\d\d AUC over Random; 6 seeds, ", text
    )
    assert re.search(r"Mean difference over both datasets: Margin \+\d\.\d\d, BADGE", text)


def test_numbers_are_those_of_the_tables(results: Results) -> None:
    aucs = results.aucs[results.aucs["strategy"] == "margin"]
    shown = ", ".join(f"{value:+.2f}" for value in aucs["difference"])
    assert f"Margin is best on all 3 datasets ({shown} AUC over Random" in said(results)


def test_different_strategies_on_few_datasets(write_run: Writer, tmp_path: Path) -> None:
    write_study(write_run, "one", {"random": 0.6, "margin": 0.7, "badge": 0.65})
    write_study(write_run, "two", {"random": 0.6, "margin": 0.62, "badge": 0.68})
    (lead, evidence, *_) = answer.answer(read(tmp_path))
    assert lead.text in (
        "Margin is best on one, BADGE on two",
        "BADGE is best on two, Margin on one",
    )
    assert evidence.text.count("AUC over Random") == 2


def test_most_of_many_datasets(write_run: Writer, tmp_path: Path) -> None:
    for place in range(9):
        best = "margin" if place < 6 else "badge"
        finals = {"random": 0.6, "margin": 0.62, "badge": 0.62, "entropy": 0.61}
        write_study(write_run, f"d{place}", finals | {best: 0.7 + place / 100})
    for seed in range(5):
        write_run([0.0, 0.8], "bait", seed, "d0", fingerprint="d0")
    text = said(read(tmp_path))
    assert text.startswith("Margin is best on 5 of 9 datasets (+5.")
    assert "; BADGE on d6, d7 and d8 and BAIT on d0." in text
    assert "Mean difference over all 9 datasets: Margin +" in text
    assert "Compared on fewer datasets, and not in this order: BAIT (1)." in text


def test_as_many_datasets_for_two(write_run: Writer, tmp_path: Path) -> None:
    for place in range(4):
        best = "margin" if place < 2 else "badge"
        write_study(write_run, f"d{place}", {"random": 0.6, "margin": 0.6, "badge": 0.6, best: 0.7})
    text = said(read(tmp_path))
    assert re.match(r"(Margin and BADGE|BADGE and Margin) are each best on 2 of 4 datasets\.", text)


def test_ties(write_run: Writer, tmp_path: Path) -> None:
    finals = {"random": 0.6, "margin": 0.7, "badge": 0.7}
    write_study(write_run, "toy", finals, spread=0)
    assert said(read(tmp_path)).startswith(
        "Margin and BADGE are best, with equal AUC, on toy (+5.00 AUC over Random; 5 seeds"
    )


def test_nothing_is_better_than_the_baseline(write_run: Writer, tmp_path: Path) -> None:
    write_study(write_run, "toy", {"random": 0.6, "margin": 0.5}, spread=0)
    expected = "Random is best on toy (AUC 30.00; 5 seeds). Below Random: Margin (−5.00)."
    assert said(read(tmp_path)) == expected


def test_one_seed(write_run: Writer, tmp_path: Path) -> None:
    write_study(write_run, "toy", {"random": 0.6, "margin": 0.7}, num_seeds=1)
    results = read(tmp_path)
    assert "one seed, so no test" in said(results)
    assert answer.warn_of_few_seeds(results).startswith("toy: one seed")


def test_without_the_baseline(write_run: Writer, tmp_path: Path) -> None:
    write_study(write_run, "toy", {"margin": 0.7, "badge": 0.65}, spread=0)
    results = read(tmp_path)
    assert said(results).startswith("Margin is best on toy (AUC 35.00; 5 seeds).")
    assert "Random has no complete run on toy, where strategies are compared by AUC" in said(
        results
    )
    assert answer.warn_of_few_seeds(results) == ""
    (lead, evidence, *_) = answer.answer(read(tmp_path, baseline="badge"))
    assert lead.text == "Margin is best on toy"
    assert "AUC over BADGE" in evidence.text


def test_the_baseline_on_some_datasets(write_run: Writer, tmp_path: Path) -> None:
    write_study(write_run, "with", {"random": 0.6, "margin": 0.7, "badge": 0.65})
    write_study(write_run, "without", {"margin": 0.7, "badge": 0.65})
    text = said(read(tmp_path))
    assert text.startswith("Margin is best on both datasets (+5.")
    assert "AUC over Random where that was run; 5 seeds" in text
    assert text.endswith("no complete run on without, where strategies are compared by AUC alone.")


def test_one_strategy(write_run: Writer, tmp_path: Path) -> None:
    write_study(write_run, "toy", {"badge": 0.7}, num_seeds=2, spread=0)
    expected = "Only BADGE has complete runs, so nothing is compared: AUC 35.00."
    assert said(read(tmp_path)) == expected


def test_unfinished_runs(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], "margin", 0, num_cycles=3)
    text = said(read(tmp_path))
    assert text == "No run is complete yet: nothing is compared. 1 unfinished run is not counted."
    write_study(write_run, "done", {"random": 0.6, "badge": 0.7})
    text = said(read(tmp_path))
    assert text.startswith("BADGE is best on done (")
    assert text.endswith("1 unfinished run is not counted. No run is complete on toy.")


def test_a_dataset_with_one_strategy_has_no_best(write_run: Writer, tmp_path: Path) -> None:
    write_study(write_run, "alone", {"badge": 0.7})
    write_study(write_run, "other", {"margin": 0.7})
    assert said(read(tmp_path)).startswith("Nothing can be compared: no dataset has")
    for name in ("one", "two"):
        write_study(write_run, name, {"random": 0.6, "margin": 0.7})
    text = said(read(tmp_path))
    assert text.startswith("Margin is best on both compared datasets (+")
    assert "Mean difference over both compared datasets: Margin +" in text
    assert text.endswith("Only one strategy is complete on alone and other.")
    standings = read(tmp_path).standings.set_index("strategy")
    assert standings["num_datasets"].to_dict() == {"margin": 2, "random": 2, "badge": 0}


@pytest.mark.parametrize("baseline", ["random", "margin", "entropy"])
def test_the_standings_are_sorted_and_the_baseline_is_zero(results: Results, baseline: str) -> None:
    standings = Results(results.frame, results.configurations, (), baseline).standings
    differences = standings.set_index("strategy")["difference"]
    assert differences.is_monotonic_decreasing
    assert differences[baseline] == 0
    aucs = results.aucs.groupby("strategy")["auc"].mean()
    expected = aucs - aucs[baseline]
    assert differences.to_dict() == pytest.approx(expected.to_dict())
