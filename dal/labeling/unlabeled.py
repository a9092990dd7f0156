"""Items whose labels are not used, since people give them."""

from dal.data import UNKNOWN, Embedded, Examples, ImageFolder, Source
from dal.labeling import matching


class Unlabeled:
    """A source without its labels: people give them.

    Args:
        source: The items.

    Attributes:
        ignored: The classes of which the source has labels. Known after :meth:`load`.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.ignored: list[str] = []

    def load(self) -> tuple[Examples, None]:
        """Features and ids of the train examples."""
        train, _ = self.source.load()
        if train.labels is not None:
            numbers = [label for label in train.labels.unique().tolist() if label != UNKNOWN]
            names = train.class_names or list(map(str, range(max(numbers, default=-1) + 1)))
            self.ignored = [names[number] for number in numbers]
        return Examples(train.features, ids=train.ids), None

    def note(self) -> str:
        """That the labels of the source are not used, and how to use them."""
        num = len(self.ignored)
        items = self.source.items if isinstance(self.source, Embedded) else None
        if isinstance(items, ImageFolder):
            remedy = f"To begin with them, add labels={items.class_folder}."
        else:
            remedy = (
                "To begin with them, write them to a table with the columns id and label, and add "
                "labels=FILE."
            )
        return (
            f"The data has labels of {num:,} {'class' if num == 1 else 'classes'} "
            f"({matching.listed(self.ignored)}), which are not used. {remedy}"
        )
