"""The history of a project: how far it was at the end of each round."""

from collections.abc import Mapping
from typing import Any

from dal.labeling import evaluation, predicted, progress
from dal.labeling.folder import ProjectFolder
from dal.labeling.progress import Progress


def read(folder: ProjectFolder, truth: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The measures of every round, in order.

    Args:
        folder: Of the project.
        truth: Labels of the audit sample by id: what rounds predicted for it gives their accuracy.

    Raises:
        RecordError: If a file is damaged.
    """
    rows: list[Mapping[str, Any]] = []
    for known in folder.of_kind("round"):
        guessed = predicted.read(folder.path / known.name, truth) if truth else None
        found = None
        if guessed:
            num_right = sum(guessed[name] == truth[name] for name in guessed)
            found = evaluation.audit(num_right, len(guessed))
        rows.append(
            {
                "round": known.number,
                "strategy": known.strategy,
                "num_handed_out": len(known.ids),
                **{key: value for key, value in known.measures.items() if key != "counts"},
                "num_audited": found.num if found else 0,
                "audit_accuracy": found and found.accuracy,
                "audit_low": found and found.low,
                "audit_high": found and found.high,
            }
        )
    return rows


def write(folder: ProjectFolder, rows: list[Mapping[str, Any]]) -> None:
    """Writes the history as a table and as a picture.

    Raises:
        OSError: If a file cannot be written.
    """
    folder.write_history(rows)
    shown = [
        Progress(
            round=row["round"],
            num_labeled=row["num_labeled"],
            cv_accuracy=row["cross_validated_accuracy"],
            audit_accuracy=row["audit_accuracy"],
            audit_low=row["audit_low"],
            audit_high=row["audit_high"],
            agreement=row["agreement"],
        )
        for row in rows
    ]
    folder.write_picture(progress.picture(shown))
