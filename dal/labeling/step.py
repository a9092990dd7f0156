"""One step of a labeling project, in its parts: read, check, record, hand out."""

import math
import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from dal import randomness
from dal.data import ALDataModule, FeatureRows
from dal.errors import DataError
from dal.experiment.cycle import Cycle
from dal.labeling import (
    agreement,
    answers,
    evaluation,
    handout,
    item_names,
    matching,
    predicted,
    reasons,
    selection,
)
from dal.labeling.catalog import Catalog
from dal.labeling.folder import Round, Taken
from dal.labeling.page import Header
from dal.labeling.picks import Pick
from dal.labeling.predicted import top_two
from dal.labeling.predictions import STATES, Predictions
from dal.labeling.unlabeled import Unlabeled
from dal.strategies import Selection, Strategy

if TYPE_CHECKING:
    from dal.labeling.project import Project

MAX_NAMED = 10  # items that a message names
MAX_CHANGES = 2  # keys
PLACES = ("data.path ", "data.ids ")


class NewRound(NamedTuple):
    """What is to be handed out, before it is written."""

    record: Round
    selected: Selection | None = None
    head: L.LightningModule | None = None
    predictions: Predictions | None = None


class UnfinishedStep:
    """One call of :meth:`Project.advance`, in its parts."""

    def __init__(
        self, project: "Project", num: int, audit: int, strategy: str | Strategy | None
    ) -> None:
        self.project = project
        self.folder = project.folder
        self.num, self.audit, self.given_strategy = num, audit, strategy
        self.notes: list[str] = []
        self._check_source()
        self.source = Unlabeled(project.source)
        self.datamodule = ALDataModule(
            self.source, project.batch_size, scale=project.scale, in_memory=project.in_memory
        )
        self.datamodule.listener = project.listener
        self.datamodule.setup()
        self.pool = self.datamodule.pool
        self.ids, self.index_of = self.pool.names, self.pool.index_of
        self.catalog = Catalog(project.source, self.ids)
        self.taken = list(self.folder.taken)
        self.num_taken = self.num_skipped = 0
        self.new: list[NewRound] = []
        self._check_items()

    @property
    def id(self) -> str:
        """What the project is called in exports of other tools: the same in every call."""
        known = self.folder.settings.get("id")
        return known or item_names.digest(self.folder.path.absolute().name, self.ids)

    def _check_source(self) -> None:
        """Compares what the project is made from with what it began with."""
        now = self.project.made_from
        before = self.folder.settings.get("made_from") or now
        self.changes = [
            f"{key} was {before.get(key)}, is {now.get(key)}"
            for key in {**before, **now}
            if before.get(key) != now.get(key)
        ]
        # The same items may be at another place.
        if [change for change in self.changes if not change.startswith(PLACES)]:
            raise self._other_data("; ".join(self.changes[:MAX_CHANGES]))

    def _other_data(self, what: str) -> DataError:
        return DataError(
            f"Expected the data that the project in {self.folder.path} began with, got others: "
            f"{what}. Leave the data out to use its own, or begin another project with project=DIR."
        )

    def _check_items(self) -> None:
        """Compares the items with those of the last call."""
        earlier = self.folder.ids()
        gone = item_names.missing(earlier, self.index_of)
        if gone and (self.changes or len(gone) == len(earlier)):
            what = "; ".join(self.changes) or f"none of its {len(earlier):,} items is there"
            raise self._other_data(what)
        if self.changes:
            self.notes.append(f"The items are the same, though {'; '.join(self.changes)}.")
        if gone:
            self.notes.append(
                f"{len(gone):,} items are gone, and their labels are not used: {_listed(gone)}."
            )
        added = len(self.ids) - (len(earlier) - len(gone))
        if earlier and added:
            self.notes.append(f"{added:,} items are new and have joined the pool.")

    def read(self, labels: str | Path, columns: tuple[str, str], relabel: bool) -> None:
        """Reads a file of answers, and checks all of them."""
        id_column, label_column = columns
        found = answers.read_answers(
            labels,
            id_column=id_column,
            label_column=label_column,
            project_id=self.id,
            ids=self.index_of,
            find_original=self.catalog.path,
        )
        found, notes = matching.match_ids(found, self.index_of)
        agreed = agreement.agree(found)
        earlier = {answer.id: answer.label for answer in self.taken}
        changes = agreement.check_against(agreed.labels, self.index_of, earlier, relabel=relabel)
        new = changes.added | {name: label for name, (_, label) in changes.changed.items()}
        self.notes += [*notes, *map(str, agreed.disagreements)]
        self.num_taken = len(new)
        self.num_skipped = sum(label is None for label in new.values())
        source = Path(labels).name
        self.taken = [answer for answer in self.taken if answer.id not in new]
        self.taken += [Taken(name, label, source) for name, label in new.items()]

    def check(self) -> None:
        """Checks what can be known before anything is computed, and tells the pool its labels."""
        if not self.taken and self.source.ignored:
            self.notes.append(self.source.note())
        answered = self.answered
        labels = {
            name: label
            for name, label in answered.items()
            if label is not None and name not in self.audited
        }
        self.classes = sorted(set(labels.values()))
        rows = torch.tensor([self.index_of[name] for name in labels], dtype=torch.int64)
        numbers = [self.classes.index(label) for label in labels.values()]
        self.pool.label(rows, torch.tensor(numbers, dtype=torch.int64))
        self.pool.withhold(self._indices({*answered, *self.waiting, *self.audited} - set(labels)))
        can_fit = len(self.classes) >= 2
        self.strategy = selection.strategy(self.given_strategy, can_fit, self.num, len(self.ids))
        if not can_fit:
            selection.check_needs_no_head(self.strategy, self.pool)
        num_new = self.audit - len(self.audited)
        if num_new > self.pool.num_unlabeled:
            raise DataError(
                f"Expected `audit` of at most {len(self.audited) + self.pool.num_unlabeled:,}, "
                f"since no other item is left, got {self.audit:,}."
            )
        # Answers of the audit sample change no head, so they ask for no other round.
        own = [[name, label] for name, label in answered.items() if name not in self.audited]
        self.inputs = item_names.digest(own, self.ids, self.num, selection.describe(self.strategy))
        counts = Counter(labels.values())
        single = sorted(name for name, count in counts.items() if count == 1)
        if len(counts) == 1:
            self.notes.append(
                f"All labels are '{self.classes[0]}': a head needs two classes at least, so items "
                "are selected by their features alone."
            )
        elif single:
            self.notes.append(f"Classes with one label only: {_listed(single)}.")

    def write(self) -> None:
        """Writes what is handed out, and records the answers that it was selected by."""
        with ExitStack() as drafts:
            # Folders appear in the end, the last draft first: the audit sample before the round.
            for new in reversed(self.new):
                draft = drafts.enter_context(self.folder.new_round(new.record))
                self._write_round(draft, new)
            self._record()

    def _record(self) -> None:
        """Records what the project is made from, which items there are, and the answers."""
        settings = {"id": self.id, "made_from": self.project.made_from, **self.project.settings}
        self.folder.write_settings(settings)
        # Items that are gone stay known: they may come back, and their labels with them.
        self.folder.write_ids(item_names.union(self.folder.ids(), self.ids))
        if self.num_taken:
            self.folder.take(self.taken)

    @cached_property
    def audited(self) -> set[str]:
        """The ids of the audit sample."""
        return {name for part in self.folder.of_kind("audit") for name in part.ids}

    def _indices(self, names: Collection[str]) -> Tensor:
        found = [self.index_of[name] for name in names if name in self.index_of]
        return torch.tensor(found, dtype=torch.int64)

    @property
    def answered(self) -> dict[str, str | None]:
        """The answers to items that are there, by id, in the order in which they were taken."""
        return {answer.id: answer.label for answer in self.taken if answer.id in self.index_of}

    @property
    def waiting(self) -> list[str]:
        """The ids of items that were handed out and have no answer yet."""
        answered = self.answered
        return [
            name
            for handed in self.folder.rounds
            for name in handed.ids
            if name not in answered and name in self.index_of
        ]

    def draw_audit(self) -> None:
        """Draws what is missing of the audit sample, from items that nobody has seen."""
        num = self.audit - len(self.audited)
        if num <= 0:
            return
        number = len(self.folder.of_kind("audit")) + 1
        generator = randomness.stream(self.project.seed, number, "audit sample")
        free = self.pool.unlabeled_indices
        rows = free[torch.randperm(len(free), generator=generator)[:num]]
        part = Round("audit", number, self.pool.ids(rows), inputs="", strategy="random")
        # Without predictions: a person who sees one agrees with it more often.
        self.new.append(NewRound(part))
        self.pool.withhold(rows)

    def mention_audit(self) -> None:
        """Says where items of the audit sample wait for labels."""
        answered = self.answered
        for part in self.folder.of_kind("audit"):
            num = sum(name in self.index_of and name not in answered for name in part.ids)
            if num:
                self.notes.append(
                    f"{num:,} random {'item' if num == 1 else 'items'} of the audit sample wait "
                    f"for labels in {self.folder.path / part.name}."
                )

    def choose(self, more: bool) -> bool:
        """Fits and selects the next round; not if nothing has changed since the last one."""
        num_left = self.pool.num_unlabeled
        if self.num > num_left > 0:
            self.notes.append(f"Only {num_left:,} items are left, fewer than num={self.num:,}.")
        rounds = self.folder.of_kind("round")
        has_changed = not rounds or rounds[-1].inputs != self.inputs
        # When nothing is left, the last labels still give a last head.
        is_new = (has_changed or more) if num_left else has_changed and len(self.classes) >= 2
        if is_new:
            self.new.append(self._choose_round(len(rounds) + 1, min(self.num, num_left)))
        if self.pool.num_unlabeled == 0:
            self.notes.append("No item is left to hand out.")
        return is_new

    def _choose_round(self, number: int, num: int) -> NewRound:
        project, strategy = self.project, self.strategy
        cycle = Cycle(self.datamodule, project.head, strategy, project.seed, project.trainer)
        accuracy = self._cross_validate(cycle, number)
        generator = randomness.stream(project.seed, number, "selection")
        selected, head = selection.choose(cycle, number, num, generator)
        ids: list[str] = []
        if selected is not None:
            ids = self.pool.ids(self.pool.unlabeled_indices[selected.positions])
        found = None
        if head is not None:
            states = self._states(ids)
            found = predicted.by_head(head, self.pool, self.classes, states)
        counts = Counter(self.classes[label] for label in self.pool.labels.tolist())
        new = Round(
            kind="round",
            number=number,
            ids=ids,
            inputs=self.inputs,
            strategy=selection.name_of(strategy),
            derived={} if selected is None else dict(selected.derived),
            measures={
                "num_labeled": len(self.pool.labeled_indices),
                "num_classes": len(self.classes),
                "num_skipped": sum(label is None for label in self.answered.values()),
                "num_unlabeled": len(self.ids) - len(self.answered),
                "cross_validated_accuracy": accuracy,
                "agreement": self._agreement(found),
                "counts": {name: counts[name] for name in self.classes},
            },
        )
        self.pool.withhold(self._indices(ids))
        return NewRound(new, selected, head, found)

    def _write_round(self, draft: Path, new: NewRound) -> None:
        name, handed, found = self.folder.path.absolute().name, new.record, new.predictions
        header = Header(
            project=name,
            project_id=self.id,
            name=f"{handed.kind} {handed.number}",
            strategy=handed.strategy,
            command=f"python -m dal.query {shlex.quote(f'project={name}')} labels=labels.csv",
        )
        shown = self._picks(new)
        counts = handed.measures.get("counts", dict.fromkeys(self.classes, 0))
        in_pool = None if found is None else found.counts()
        handout.write(draft, header, shown, self.catalog, counts, in_pool)
        if self.project.copies:
            handout.copy_images(draft, shown)
        if found is not None and new.head is not None:
            handout.write_predictions(draft, found)
            handout.write_head(draft, new.head, self.classes, self.pool.scale)

    def _states(self, new: Collection[str]) -> np.ndarray:
        """What has become of each item, as numbers in STATES."""
        in_audit = [name for part in self.new for name in part.record.ids]
        answered = self.answered
        skipped = [name for name, label in answered.items() if label is None]
        states = np.zeros(len(self.ids), dtype=np.int8)  # unlabeled
        for names, state in (
            ([*self.waiting, *in_audit, *new], "handed out"),
            (answered, "labeled"),
            (skipped, "skipped"),
        ):
            states[self._indices(names)] = STATES.index(state)
        return states

    def _agreement(self, found: Predictions | None) -> float | None:
        rounds = self.folder.of_kind("round")
        if found is None or not rounds:
            return None
        is_counted = np.ones(len(self.ids), dtype=bool)
        is_counted[self._indices(self.answered)] = False
        return predicted.agreement(found, self.folder.path / rounds[-1].name, is_counted)

    def _cross_validate(self, cycle: Cycle, number: int) -> float | None:
        """Share of labeled items that heads fitted to others predict; None if there are too few."""
        rows, labels = self.pool.labeled_indices, self.pool.labels
        if len(self.classes) < 2:
            return None
        generator = randomness.stream(self.project.seed, number, "folds")
        folds = evaluation.folds(labels, generator)
        num_right = 0
        for fold in folds[folds >= 0].unique().tolist():
            self.pool.forget_labels()
            is_held_out = folds == fold
            self.pool.label(rows[~is_held_out], labels[~is_held_out])
            if not selection.can_fit(cycle):
                continue
            head = cycle.run(number, 0, eval_split=None).head
            held_out = FeatureRows(self.pool.features, rows[is_held_out], scale=self.pool.scale)
            _, numbers = top_two(head, held_out)
            num_right += int((numbers[:, 0] == labels[is_held_out]).sum())
        self.pool.forget_labels()
        self.pool.label(rows, labels)
        num = int((folds >= 0).sum())
        return num_right / num if num else None

    def _picks(self, new: NewRound) -> list[Pick]:
        """What people see of the items of a round."""
        handed, selected, _, found = new
        scores = None if selected is None else selected.scores
        picks = []
        for rank, name in enumerate(handed.ids, start=1):
            score = None if scores is None else float(scores[rank - 1])
            own = None if found is None else predicted.of(found, self.index_of[name])
            picks.append(
                self.catalog.pick(
                    rank,
                    name,
                    predicted=None if own is None else own.first,
                    confidence=None if own is None else own.confidence,
                    score=None if score is None or math.isnan(score) else score,
                    reason=reasons.why(handed.strategy, own),
                )
            )
        return picks

    @property
    def audit_labels(self) -> dict[str, str]:
        """The labels of the audit sample, by id."""
        return {
            name: label
            for name, label in self.answered.items()
            if name in self.audited and label is not None
        }


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    shown = ", ".join(names[:MAX_NAMED])
    return f"{shown} and {more:,} more" if more > 0 else shown
