"""The folder of a round: everything that people may label from."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import lightning as L

from dal.labeling import label_studio, page, picks, predicted, predictions, spreadsheet, thumbnails
from dal.labeling.catalog import Catalog
from dal.labeling.picks import Pick
from dal.labeling.predictions import Predictions

TO_LABEL, TASKS, INTERFACE = "to_label.csv", "label_studio.json", "label_studio.xml"
PAGE, HEAD, IMAGES = "page.html", "head.safetensors", "images"


def write(
    folder: Path,
    header: page.Header,
    shown: Sequence[Pick],
    catalog: Catalog,
    counts: Mapping[str, int],
    in_pool: Mapping[str, int] | None,
) -> None:
    """Writes what people label from: a page, a table, and tasks of Label Studio.

    Args:
        folder: Of the round; exists.
        header: What the page says of the round.
        shown: The items, in order; nothing is written if there are none.
        catalog: Where larger pictures come from.
        counts: Labels of each class known so far, in the order in which the classes are shown.
        in_pool: Items of the pool that each class is predicted for, with a head.

    Raises:
        OSError: If a file cannot be written.
    """
    if not shown:
        return
    kind = picks.common_kind(shown)
    pictures = {}
    if kind == "image":
        large = {pick.id: catalog.jpeg(pick.id, thumbnails.PICTURE) for pick in shown}
        pictures = {name: picture for name, picture in large.items() if picture is not None}
    tasks = label_studio.tasks(shown, header.project_id, pictures)
    texts = {
        PAGE: page.html(shown, header, counts, in_pool),
        TASKS: json.dumps(tasks, indent=1, ensure_ascii=False) + "\n",
        INTERFACE: label_studio.configuration(list(counts), kind),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / TO_LABEL).write_bytes(spreadsheet.to_label(shown))


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


def write_head(folder: Path, head: L.LightningModule, classes: Sequence[str], scale: float) -> None:
    """Writes the weights of a head, with what it takes to use them.

    Its metadata have one key, ``head``, with JSON: ``classes``, their names by number, and
    ``scale``, what features are multiplied by.

    Raises:
        OSError: If the file cannot be written.
    """
    from safetensors.torch import save

    weights = {name: value.contiguous() for name, value in head.state_dict().items()}
    # Not its own `save_file`, whose files nobody else may read, and whose errors are no OSError.
    # In one key: their order in the file would be another one each time.
    metadata = json.dumps({"classes": list(classes), "scale": scale})
    content = save(weights, metadata={"head": metadata})
    (folder / HEAD).write_bytes(content)


def write_predictions(folder: Path, found: Predictions) -> None:
    """Writes what is predicted for every item.

    Raises:
        OSError: If the file cannot be written.
    """
    predictions.write(found, folder / predicted.FILE)
