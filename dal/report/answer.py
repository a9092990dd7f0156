"""The answer of a report in a few computed sentences: which strategy is best, and how sure that is.

Every sentence is true of any runs: of one dataset or many, without the baseline, with ties, with
one seed, and with unfinished runs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from dal.report import palette, significance
from dal.report.results import Results
from dal.report.table import duration, signed

MAX_NAMES = 3  # of datasets in a sentence; more are counted


class Phrase(NamedTuple):
    """A part of the answer, and whether it is in bold."""

    text: str
    is_strong: bool = False


def answer(results: Results) -> list[Phrase]:
    """The answer, beginning with what is in bold; every phrase but the first has its own space."""
    sentences: list[str] = []
    if results.complete_runs.empty:
        lead = [Phrase("No run is complete yet", is_strong=True), Phrase(": nothing is compared.")]
    elif not results.best and len(results.compared_strategies) > 1:
        lead = [
            Phrase("Nothing can be compared", is_strong=True),
            Phrase(": no dataset has complete runs of two strategies."),
        ]
    elif len(results.compared_strategies) == 1:
        (only,) = results.compared_strategies
        aucs = results.aucs["auc"].tolist()
        lead = [
            Phrase(f"Only {palette.label(only)} has complete runs", is_strong=True),
            Phrase(f", so nothing is compared: AUC {_span([f'{auc:.2f}' for auc in aucs])}."),
        ]
    else:
        lead = _lead(results)
        sentences = [*_order(results), *_worse(results), *_times(results)]
    sentences += _incomplete(results)
    return [*lead, *(Phrase(f" {sentence}") for sentence in sentences)]


def plain(phrases: Sequence[Phrase]) -> str:
    """The answer as text without bold."""
    return "".join(phrase.text for phrase in phrases)


def warn_of_few_seeds(results: Results) -> str:
    """One warning about all datasets with too few seeds for a claim; empty if none has."""
    names: dict[int, list[str]] = {}
    needed: dict[int, set[int]] = {}
    for dataset, group in results.comparisons.groupby("dataset", sort=False):
        num = int(group["num_pairs"].max())
        enough = significance.pairs_for_wilcoxon(max(1, int(group["p_wilcoxon"].notna().sum())))
        if 0 < num < enough:
            names.setdefault(num, []).append(str(dataset))
            needed.setdefault(num, set()).add(enough)
    sentences = []
    for num, datasets in names.items():
        where = _datasets(results, datasets)
        if len(datasets) == len(results.best) > 1:
            where = where.capitalize()
        if num == 1:
            what = "one seed, which allows no claim about chance; 5 are usual, the paper has 10."
        else:
            ends = sorted({min(needed[num]), max(needed[num])})
            what = (
                f"{num} seeds; {' to '.join(map(str, ends))} are needed before Wilcoxon's test can "
                "be significant after Holm's correction."
            )
        sentences.append(f"{where}: {what}")
    return " ".join(sentences)


def _lead(results: Results) -> list[Phrase]:
    """The best strategy, and of how many datasets it is the best."""
    best = results.best
    num = len(best)
    names = [name for name in results.standings["strategy"] if name in set().union(*best.values())]
    won = {name: [d for d, winners in best.items() if name in winners] for name in names}
    most = max(map(len, won.values()))
    leaders = [name for name in names if len(won[name]) == most]
    if most == num:
        where = _datasets(results, list(best))
        verb = "is best" if len(leaders) == 1 else "are best, with equal AUC,"
        return [
            Phrase(f"{_join(map(palette.label, leaders))} {verb} on {where}", is_strong=True),
            Phrase(f" ({_evidence(results, leaders[0], list(best))})."),
        ]
    if len(leaders) == 1:
        (leader,) = leaders
        others = [
            f"{palette.label(name)} on {_datasets(results, won[name])}"
            for name in sorted(names, key=lambda name: -len(won[name]))
            if name != leader
        ]
        return [
            Phrase(f"{palette.label(leader)} is best on {most} of {num} datasets", is_strong=True),
            Phrase(f" ({_evidence(results, leader, won[leader])}); {_join(others)}."),
        ]
    if num <= MAX_NAMES:
        places = [(name, _datasets(results, won[name])) for name in names]
        (first, where), *rest = [(palette.label(name), where) for name, where in places]
        text = ", ".join([f"{first} is best on {where}", *(f"{n} on {w}" for n, w in rest)])
        shown = [f"{where}: {_evidence(results, name, won[name])}" for name, where in places]
        return [Phrase(text, is_strong=True), Phrase(f" ({'; '.join(shown)}).")]
    others = [
        f"{palette.label(name)} on {_datasets(results, won[name])}"
        for name in names
        if name not in leaders
    ]
    text = f"{_join(map(palette.label, leaders))} are each best on {most} of {num} datasets"
    return [Phrase(text, is_strong=True), Phrase(f"; {_join(others)}." if others else ".")]


def _evidence(results: Results, strategy: str, datasets: Sequence[str]) -> str:
    """How much better a strategy is on some datasets, from how many seeds, and how surely."""
    aucs = results.aucs[results.aucs["strategy"] == strategy].set_index("dataset").loc[datasets]
    compared = aucs[aucs["num_pairs"] > 0]
    if compared.empty:
        shown = _span([f"{auc:.2f}" for auc in aucs["auc"]])
        return f"AUC {shown}; {_seeds(aucs['num_runs'])}"
    shown = _span([signed(difference) for difference in compared["difference"]])
    baseline = palette.label(results.baseline)
    if len(compared) < len(aucs):
        baseline += " where that was run"
    return f"{shown} AUC over {baseline}; {_seeds(compared['num_pairs'])}, {_surely(compared)}"


def _surely(compared: pd.DataFrame) -> str:
    """What the corrected tests say of some rows of ``Results.aucs``."""
    num = int(compared["p_t"].notna().sum())
    if num == 0:
        return "so no test"
    t = int((compared["holm_t"] < significance.ALPHA).sum())
    wilcoxon = int((compared["holm_wilcoxon"] < significance.ALPHA).sum())
    if t == wilcoxon == 0:
        return "not significant after correction"
    if t == wilcoxon == len(compared):
        return "significant after correction"
    if len(compared) == 1:
        which = ("the t-test", "Wilcoxon's") if t else ("Wilcoxon's test", "the t-test")
        return f"significant after correction in {which[0]}, not in {which[1]}"
    counts = [
        {0: "none", len(compared): "all"}.get(count, f"{count} of {len(compared)}")
        for count in (t, wilcoxon)
    ]
    return f"significant after correction on {counts[0]} in the t-test, {counts[1]} in Wilcoxon's"


def _order(results: Results) -> list[str]:
    """Those that follow, by mean difference over the datasets that all of them have."""
    table = results.standings
    num = _num_compared(results)
    full = table[table["num_compared"] == num] if num else table[:0]
    sentences = []
    if num == len(results.best) == 1:
        (winners,) = results.best.values()
        rest = full[~full["strategy"].isin(winners)]
        rest = rest[rest["difference"] > -significance.TOLERANCE]
        after = [
            f"{palette.label(name)} ({_versus(results, name, difference)})"
            for name, difference in zip(rest["strategy"], rest["difference"], strict=True)
        ]
        if after:
            sentences.append(f"Next: {_join(after[:2], ', then ')}.")
    elif num > 1:
        order = [
            f"{palette.label(name)} {_versus(results, name, difference)}"
            for name, difference in zip(full["strategy"], full["difference"], strict=True)
            if not results.is_baseline(name)
        ]
        if order:
            which = _datasets(results, list(results.best))
            if num < len(results.best):
                which = f"the {num} with {palette.label(results.baseline)}"
            sentences.append(f"Mean difference over {which}: {', '.join(order[:3])}.")
    part = table[(table["num_compared"] > 0) & (table["num_compared"] < num)]
    left_out = [
        f"{palette.label(name)} ({count})"
        for name, count in zip(part["strategy"], part["num_compared"], strict=True)
    ]
    if left_out:
        sentences.append(f"Compared on fewer datasets, and not in this order: {_join(left_out)}.")
    return sentences


def _versus(results: Results, strategy: str, difference: float) -> str:
    return "the baseline" if results.is_baseline(strategy) else signed(difference)


def _worse(results: Results) -> list[str]:
    """Strategies that harm."""
    table = results.standings
    num = _num_compared(results)
    worse = table[(table["difference"] <= -significance.TOLERANCE) & (table["num_compared"] == num)]
    if worse.empty:
        return []
    names = [
        f"{palette.label(name)} ({signed(difference)})"
        for name, difference in zip(worse["strategy"], worse["difference"], strict=True)
    ]
    average = "" if num == 1 else ", on average"
    return [f"Below {palette.label(results.baseline)}{average}: {_join(names)}."]


def _times(results: Results) -> list[str]:
    """Seconds of a selection of the first two of the standings, on a device that both ran on."""
    times = results.times
    names = [s for s in results.standings["strategy"] if not results.is_baseline(s)][:2]
    if len(names) < 2:
        return []
    for device in dict.fromkeys(times["device"]):
        shown = []
        for name in names:
            of = times[(times["device"] == device) & (times["strategy"] == name)]
            if of.empty:
                break
            ends = dict.fromkeys(map(duration, (of["seconds"].min(), of["seconds"].max())))
            shown.append(f"{' to '.join(ends)} with {palette.label(name)}")
        else:
            where = f" on {device}" if times["device"].nunique() > 1 else ""
            return [f"A selection takes {_join(shown)}{where}."]
    return []


def _incomplete(results: Results) -> list[str]:
    """What is not counted or not compared, since runs are not finished or not there."""
    runs = results.frame[(results.frame["cycle"] == 0) & (results.frame["repeat"] == 0)]
    num = int((~runs["complete"]).sum())
    sentences = []
    if num:
        sentences.append(f"{num} unfinished {'run is' if num == 1 else 'runs are'} not counted.")
    without = [name for name in results.datasets if name not in results.complete_datasets]
    if without and results.complete_datasets:
        sentences.append(f"No run is complete on {_join(without)}.")
    single = [name for name in results.complete_datasets if name not in results.best]
    if single and results.best:
        sentences.append(f"Only one strategy is complete on {_join(single)}.")
    alone = [name for name in results.best if results.baselines[name] is None]
    if alone and len(results.compared_strategies) > 1:
        baseline, where = palette.label(results.baseline), _datasets(results, alone)
        sentences.append(
            f"{baseline} has no complete run on {where}, where strategies are compared by AUC "
            "alone."
        )
    return sentences


def _num_compared(results: Results) -> int:
    """Number of datasets in which strategies were compared with the baseline."""
    return int(results.comparisons.dropna(subset="difference")["dataset"].nunique())


def _datasets(results: Results, names: Sequence[str]) -> str:
    """Some of the datasets in which strategies are compared, in words."""
    num = len(results.best)
    if len(names) == num > 1:
        compared = "compared " if num < len(results.datasets) else ""
        return f"{_all(num)} {compared}datasets"
    return _join(names) if len(names) <= MAX_NAMES else f"{len(names)} of {num} datasets"


def _all(num: int) -> str:
    return "both" if num == 2 else f"all {num}"


def _seeds(numbers: "pd.Series[float]") -> str:
    least, most = int(numbers.min()), int(numbers.max())
    if least == most:
        return "one seed" if most == 1 else f"{most} seeds"
    return f"{least} to {most} seeds"


def _span(texts: Sequence[str]) -> str:
    """Numbers as they are shown: all if they are few, else the least and the greatest."""
    if len(texts) <= MAX_NAMES:
        return ", ".join(texts)
    ordered = sorted(texts, key=lambda text: float(text.replace("−", "-")))
    return f"{ordered[0]} to {ordered[-1]}"


def _join(parts: "Sequence[str] | map[str]", last: str = " and ") -> str:
    *first, end = parts
    return f"{', '.join(first)}{last}{end}" if first else end
