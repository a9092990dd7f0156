"""What the answers say together, and whether it fits what was known before.

From a file to what is new in it::

    answers = read_answers(path, ids=ids)
    answers, notes = match_ids(answers, ids)
    agreement = agree(answers)
    changes = check_against(agreement.labels, ids, earlier)

Each step raises an error or returns a value; none of them writes anything. What is taken over is
``changes``, after all steps.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dal.errors import DataError
from dal.labeling import class_names, matching
from dal.labeling.answer import Answer

MAX_NAMED = 3  # contradictions that a message spells out


@dataclass(frozen=True)
class Disagreement:
    """An item that people answered differently.

    Attributes:
        id: The item.
        votes: Who gave each label, most votes first; None for those who skipped the item.
        label: The label with most votes; None if no label has more than all others.
    """

    id: str
    votes: Mapping[str | None, Sequence[str | None]]
    label: str | None

    def __str__(self) -> str:
        """One line, such as ``a.jpg: 'cat' (anna, ben), 'dog' (carl): 'cat'``."""
        votes = ", ".join(
            f"{'skipped' if label is None else repr(label)} ({', '.join(map(_name, people))})"
            for label, people in self.votes.items()
        )
        return f"{self.id}: {votes}: {'open' if self.label is None else repr(self.label)}"


@dataclass(frozen=True)
class Agreement:
    """The one answer for each item, and where people did not agree.

    Attributes:
        labels: The label of each item; None if everybody skipped it. An item whose votes are tied
            is not in it: it stays open.
        disagreements: Every item that people answered differently, in the order of the file.
    """

    labels: dict[str, str | None]
    disagreements: list[Disagreement]


@dataclass(frozen=True)
class Changes:
    """What answers add to the labels there were.

    Attributes:
        added: Labels of items that had none; None for items that nobody had answered and that are
            skipped.
        changed: For items whose label becomes another one, the earlier one and the new one.
        num_repeated: How many answers say what was known already. An empty label of an item that
            has a label counts here: it does not remove the label.
        new_classes: Names of classes that no earlier label has, in order.
    """

    added: dict[str, str | None]
    changed: dict[str, tuple[str, str]]
    num_repeated: int
    new_classes: list[str]


def agree(answers: Sequence[Answer]) -> Agreement:
    """The label of each item by the number of votes.

    Everybody has one vote for an item. The label with more votes than any other counts; with a tie
    the item stays open. Skipping is no vote against a label: where one person skips and another
    labels, the label counts and the item is listed as a disagreement. A person who both skips an
    item and labels it has labeled it.

    Args:
        answers: In the order of the file, by the ids of items.

    Raises:
        DataError: If one person gave an item two labels, or two labels differ in case, white space
            or Unicode form alone.

    Example:
        >>> votes = [("anna", "cat"), ("ben", "cat"), ("carl", "dog")]
        >>> agreement = agree([Answer("a.jpg", label, who, "") for who, label in votes])
        >>> agreement.labels, str(agreement.disagreements[0])
        ({'a.jpg': 'cat'}, "a.jpg: 'cat' (anna, ben), 'dog' (carl): 'cat'")
    """
    class_names.check_distinct(answer.label for answer in answers if answer.label is not None)
    votes: dict[str, dict[str | None, Answer]] = {}
    contradictions = []
    for answer in answers:
        of_item = votes.setdefault(answer.id, {})
        earlier = of_item.setdefault(answer.annotator, answer)
        if earlier.label is None:
            of_item[answer.annotator] = answer
        elif answer.label not in (None, earlier.label):
            contradictions.append((earlier, answer))
    if contradictions:
        raise _contradiction(contradictions)
    labels: dict[str, str | None] = {}
    disagreements = []
    for item, of_item in votes.items():
        if len(of_item) == 1:
            (answer,) = of_item.values()
            labels[item] = answer.label
            continue
        disagreement = _count(item, of_item)
        if len(disagreement.votes) == 1 or disagreement.label is not None:
            labels[item] = disagreement.label
        if len(disagreement.votes) > 1:
            disagreements.append(disagreement)
    return Agreement(labels, disagreements)


def _count(item: str, of_item: Mapping[str | None, Answer]) -> Disagreement:
    people: defaultdict[str | None, list[str | None]] = defaultdict(list)
    for annotator, answer in of_item.items():
        people[answer.label].append(annotator)
    # In a fixed order: by votes, then by name, skips last.
    votes = dict(
        sorted(people.items(), key=lambda vote: (vote[0] is None, -len(vote[1]), vote[0] or ""))
    )
    sizes = [len(voters) for label, voters in votes.items() if label is not None]
    is_decided = bool(sizes) and sizes.count(sizes[0]) == 1
    return Disagreement(item, votes, next(iter(votes)) if is_decided else None)


def _contradiction(pairs: Sequence[tuple[Answer, Answer]]) -> DataError:
    def describe(pair: tuple[Answer, Answer]) -> str:
        first, second = pair
        by = "" if first.annotator is None else f" by {first.annotator}"
        return (
            f"{first.id!r}{by} is {first.label!r} ({first.where}) and {second.label!r} "
            f"({second.where})"
        )

    more = f"; and {len(pairs) - MAX_NAMED:,} more" if len(pairs) > MAX_NAMED else ""
    return DataError(
        "Expected one label for each item from one person, got two: "
        f"{'; '.join(map(describe, pairs[:MAX_NAMED]))}{more}. Keep one of them; nothing was taken "
        "over."
    )


def check_against(
    labels: Mapping[str, str | None],
    ids: Collection[str],
    earlier: Mapping[str, str | None],
    *,
    relabel: bool = False,
) -> Changes:
    """What is new in labels, once they fit the items and the labels there were.

    Args:
        labels: By id, as :func:`agree` returns them; None for skipped items.
        ids: The ids of all items.
        earlier: The labels there were, by id; None for items skipped so far, which may get a label.
        relabel: Whether items may get another label than they had.

    Raises:
        DataError: If an id is unknown, an item had another label and ``relabel`` is not set, or the
            name of a class differs from one there was in case, white space or Unicode form alone.

    Example:
        >>> check_against({"a": "cat", "b": None}, ["a", "b", "c"], {"a": "cat", "c": "dog"})
        Changes(added={'b': None}, changed={}, num_repeated=1, new_classes=[])
    """
    matching.check_known(labels, ids)
    added: dict[str, str | None] = {}
    changed: dict[str, tuple[str, str]] = {}
    for item, label in labels.items():
        before = earlier.get(item)
        if label is not None and before is not None and label != before:
            changed[item] = (before, label)
        elif item not in earlier or (before is None and label is not None):
            added[item] = label
    # Against the labels as they will be: relabeling may rename a class everywhere.
    remaining = {name for item, name in earlier.items() if name and item not in changed}
    given = [*_new_names(labels, added, changed)]
    class_names.check_distinct(given, sorted(remaining))
    if changed and not relabel:
        raise _changed(changed)
    num_repeated = len(labels) - len(added) - len(changed)
    before_all = {name for name in earlier.values() if name}
    new_classes = [name for name in dict.fromkeys(given) if name not in before_all]
    return Changes(added, changed, num_repeated, new_classes)


def _new_names(
    labels: Mapping[str, str | None], added: Collection[str], changed: Collection[str]
) -> Iterator[str]:
    for item, label in labels.items():
        if label is not None and (item in added or item in changed):
            yield label


def _changed(changed: Mapping[str, tuple[str, str]]) -> DataError:
    shown = ", ".join(
        f"{item!r} was {before!r} and is {label!r}"
        for item, (before, label) in list(changed.items())[: matching.MAX_NAMED]
    )
    num_more = len(changed) - matching.MAX_NAMED
    more = f" and {num_more:,} more" if num_more > 0 else ""
    return DataError(
        f"Expected the labels that {len(changed):,} items have already, got others: {shown}{more}. "
        "If the new ones are right, add relabel=true; nothing was taken over."
    )


def _name(annotator: str | None) -> str:
    return "no name" if annotator is None else annotator
