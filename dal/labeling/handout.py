"""The folder of a round: everything that people may label from."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import lightning as L

from dal.labeling import label_studio, picks, predicted, predictions, spreadsheet, thumbnails
from dal.labeling.catalog import Catalog
from dal.labeling.folder import Round
from dal.labeling.picks import Pick
from dal.labeling.predictions import Predictions

TO_LABEL, TASKS, INTERFACE = "to_label.csv", "label_studio.json", "label_studio.xml"
PAGE, HEAD, IMAGES = "page.html", "head.safetensors", "images"


def write(
    folder: Path,
    handed: Round,
    project_id: str,
    shown: Sequence[Pick],
    classes: Sequence[str],
    catalog: Catalog,
    counts: Mapping[str, int],
    predicted_counts: Mapping[str, int],
) -> None:
    """Writes what people label from.

    Args:
        folder: Of the round; exists and is empty.
        handed: The round.
        project_id: What Label Studio's exports call the project.
        shown: The items, in order.
        classes: Known so far, in order.
        catalog: Where larger pictures come from.
        counts: Labels of each class so far.
        predicted_counts: Items of the pool that each class is predicted for.

    Raises:
        OSError: If a file cannot be written.
    """
    if not shown:
        return
    (folder / TO_LABEL).write_bytes(spreadsheet.to_label(shown))
    kind = picks.common_kind(shown)
    pictures = {}
    if kind == "image":
        for pick in shown:
            picture = catalog.jpeg(pick.id, thumbnails.PICTURE)
            if picture is not None:
                pictures[pick.id] = picture
    tasks = label_studio.tasks(shown, project_id, pictures)
    (folder / TASKS).write_text(
        json.dumps(tasks, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / INTERFACE).write_text(label_studio.configuration(classes, kind), encoding="utf-8")


def copy_images(folder: Path, shown: Sequence[Pick]) -> None:
    """Copies the files of items, for people who label by moving them into folders of classes.

    Raises:
        OSError: If a file cannot be read or written.
    """
    taken: set[str] = set()
    for pick in shown:
        if pick.path is None:
            continue
        (folder / IMAGES).mkdir(exist_ok=True)
        name = Path(pick.path).name
        if name.lower() in taken:  # lower: some file systems do not tell "a.jpg" from "A.jpg"
            name = f"{pick.rank}_{name}"
        taken.add(name.lower())
        shutil.copyfile(pick.path, folder / IMAGES / name)


def write_head(folder: Path, head: L.LightningModule, classes: Sequence[str]) -> None:
    """Writes the weights of a head, with the names of its classes.

    Raises:
        OSError: If the file cannot be written.
    """
    from safetensors.torch import save_file

    weights = {name: value.contiguous() for name, value in head.state_dict().items()}
    save_file(weights, folder / HEAD, metadata={"classes": json.dumps(list(classes))})


def write_predictions(folder: Path, found: Predictions) -> None:
    """Writes what is predicted for every item.

    Raises:
        OSError: If the file cannot be written.
    """
    predictions.write(found, folder / predicted.FILE)
