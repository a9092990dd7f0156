"""What other software selects for the problems in a folder, and how long it takes.

Run by :mod:`tests.peers` with the Python of an environment that has that software and not this
package: it imports neither.
"""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Any  # a folder of arrays by name, as numpy.load returns it


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length one, in float64."""
    scaled: np.ndarray = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return scaled


def split(problem: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Features of labeled and pool rows, and labels that are NaN for the pool."""
    rows = np.concatenate([problem["labeled"], problem["pool"]])
    labels = np.full(len(rows), np.nan)
    labels[: len(problem["labeled"])] = problem["labels"]
    return rows, labels


def core_set(problem: Arrays) -> list[int]:
    from skactiveml.pool import CoreSet

    rows, labels = split(problem)
    return _positions(
        CoreSet(random_state=0).query(rows, labels, batch_size=_num(problem)), problem
    )


def prob_cover(problem: Arrays) -> list[int]:
    from skactiveml.pool import ProbCover

    rows, labels = split(problem)
    peer = ProbCover(deltas=[float(problem["delta"])], n_classes=2, random_state=0)
    return _positions(peer.query(unit(rows), labels, batch_size=_num(problem)), problem)


def max_herding(problem: Arrays) -> list[int]:
    from skactiveml.pool import MaxHerding

    rows, labels = split(problem)
    peer = MaxHerding(metric_dict={"gamma": 1.0}, random_state=0)
    query = peer.query(rows.astype(np.float64), labels, batch_size=_num(problem))
    return _positions(query, problem)


def max_herding_apricot(problem: Arrays) -> list[int]:
    """Without labels: facility location on the kernel of all pairs."""
    from apricot import FacilityLocationSelection

    rows = unit(problem["pool"])
    kernel = np.exp(2 * (rows @ rows.T) - 2)
    peer = FacilityLocationSelection(_num(problem), metric="precomputed", optimizer="lazy")
    peer.fit(kernel)
    return [int(row) for row in peer.ranking]


def typiclust(problem: Arrays) -> list[int]:
    from skactiveml.pool import TypiClust

    rows, labels = split(problem)
    peer = TypiClust(k=20, random_state=0)
    return _positions(peer.query(unit(rows), labels, batch_size=_num(problem)), problem)


def badge(problem: Arrays) -> list[int]:
    from skactiveml.pool import Badge

    rows, labels = split(problem)
    query = Badge(random_state=0).query(
        rows, labels, clf=_head(problem), fit_clf=False, batch_size=_num(problem)
    )
    return _positions(query, problem)


def falcun(problem: Arrays) -> list[int]:
    from skactiveml.pool import Falcun

    rows, labels = split(problem)
    query = Falcun(random_state=0).query(
        rows, labels, clf=_head(problem), fit_clf=False, batch_size=_num(problem)
    )
    return _positions(query, problem)


def batch_bald(problem: Arrays) -> list[int]:
    """Exact joint entropies: ``num_samples`` is above the number of configurations."""
    import torch
    from batchbald_redux.batchbald import get_batchbald_batch

    log_probs = torch.from_numpy(problem["samples"]).log().transpose(0, 1).contiguous()  # (N, S, K)
    batch = get_batchbald_batch(
        log_probs, _num(problem), int(problem["num_configurations"]), dtype=torch.double
    )
    return [int(row) for row in batch.indices]


def _num(problem: Arrays) -> int:
    return int(problem["num"])


def _positions(rows: Any, problem: Arrays) -> list[int]:
    return [int(row) - len(problem["labeled"]) for row in rows]


def _head(problem: Arrays) -> Any:
    from skactiveml.base import SkactivemlClassifier

    class Head(SkactivemlClassifier):  # type: ignore[misc]
        def __init__(self, classes: Any = None) -> None:
            super().__init__(classes=classes)

        def fit(self, X: Any, y: Any) -> "Head":  # noqa: ARG002, N803
            return self

        def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
            logits = X.astype(np.float32) @ problem["weight"].T + problem["bias"]
            exponentials = np.exp(logits - logits.max(1, keepdims=True))
            probs: np.ndarray = exponentials / exponentials.sum(1, keepdims=True)
            return probs

    return Head(classes=list(range(len(problem["bias"]))))


def main(folder: Path) -> None:
    """Writes ``picks.json``: by problem and peer, the positions and the fastest of the runs."""
    warnings.simplefilter("ignore")
    answers: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("*.npz")):
        problem = dict(np.load(file))
        for name in str(problem["peers"]).split():
            seconds = []
            for _ in range(int(problem["repeat"])):
                started = time.perf_counter()
                positions = globals()[name](problem)
                seconds.append(time.perf_counter() - started)
            answers[f"{file.stem}/{name}"] = {"positions": positions, "seconds": seconds}
    (folder / "picks.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
