"""A round as one page for a browser, on which people can label: nothing is fetched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2

from dal.labeling.label_studio import data_uri
from dal.labeling.picks import Pick, common_kind

MAX_SHOWN = 1_000  # items: a browser then reads 40 MB


@dataclass(frozen=True)
class Header:
    """What the page says of its round.

    Attributes:
        project: What the user calls the project.
        project_id: Tells it from all others; the browser keeps answers under it and the name.
        name: Of the round or the part of the audit sample, such as ``"round 1"``.
        strategy: What chose the items.
        command: What to run with the labels that people give on the page.
    """

    project: str
    project_id: str
    name: str
    strategy: str
    command: str


@dataclass(frozen=True)
class ClassCount:
    """A row of the table of classes.

    Attributes:
        name: Of the class.
        labeled: How many items people have given it.
        predicted: How many items of the pool are predicted to be of it; None without a model.
        labeled_share: Of the labeled items.
        predicted_share: Of the pool.
    """

    name: str
    labeled: int
    predicted: int | None
    labeled_share: float
    predicted_share: float


def html(
    picks: Sequence[Pick],
    header: Header,
    labeled: Mapping[str, int],
    predicted: Mapping[str, int] | None = None,
) -> str:
    """The page: the items by rank, classes to choose from, and what there is of each class.

    People choose classes with keys or buttons; the browser keeps what they chose, and gives it as
    ``labels.csv``, with the columns ``id`` and ``label``; an empty label is a skipped item.

    Args:
        picks: The items. The page shows the first 1,000.
        header: What it says of the round.
        labeled: How many labels of each class there are, of all classes known so far.
        predicted: How many items of the pool are predicted to be of each class, with a model.
    """
    shown = picks[:MAX_SHOWN]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_read("page.html.jinja")).render(
        header=header,
        kind=common_kind(picks),
        num_picks=len(picks),
        picks=shown,
        counts=_counts(labeled, predicted),
        data={
            "key": f"dal {header.project_id} {header.name}",
            "items": [
                {"id": pick.id, "predicted": pick.predicted, "reason": pick.reason}
                for pick in shown
            ],
            "classes": list(labeled),
        },
        data_uri=data_uri,
        style=_read("page.css"),
        script=_read("page.js"),
    )


def _read(name: str) -> str:
    return resources.files("dal.labeling").joinpath(name).read_text("utf-8").strip()


def _counts(labeled: Mapping[str, int], predicted: Mapping[str, int] | None) -> list[ClassCount]:
    """All classes, the most labels first, and where these are equal, as given."""
    num_labeled = max(1, sum(labeled.values()))
    num_predicted = max(1, sum((predicted or {}).values()))
    rows = [
        ClassCount(
            name=name,
            labeled=count,
            predicted=None if predicted is None else predicted.get(name, 0),
            labeled_share=count / num_labeled,
            predicted_share=(predicted or {}).get(name, 0) / num_predicted,
        )
        for name, count in labeled.items()
    ]
    return sorted(rows, key=lambda row: -row.labeled)
