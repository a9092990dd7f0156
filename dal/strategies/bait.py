"""BAIT and its approximations: the batch that says most about the last layer."""

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple

from torch import Tensor

from dal.data.rows import rows_of_type
from dal.errors import ConfigError, ResourceError, did_you_mean
from dal.functional import (
    bait,
    bait_cost,
    bait_diagonal,
    bait_dual,
    bait_objective,
    bait_rank_one,
    fisher,
)
from dal.functional.bait_cost import Sizes
from dal.functional.bait_objective import Hyperparameters
from dal.runtime import devices
from dal.strategies.query import Query
from dal.strategies.strategy import Selection, Strategy, floating_type


class FisherStrategy(Strategy):
    """What the forms of BAIT have in common: the objective's weights, and the greedy search.

    Args:
        subset_size: As in :class:`Strategy`. The mean information is of the subset then.
        lmbda: λ > 0, the identity's weight in M. Ash et al. (2021) and Huseljic et al. (2024)
            take 1.
        oversample: Candidates added on the way for each one that stays; Ash et al. (2021) take 2.
        fisher_reduction: How M takes the labeled examples' information: ``"mean"``, as the papers
            have it, or ``"sum"``, as the published experiments ran.
        dtype: Of what is computed for all candidates: ``"float32"``, or ``"float64"`` for checks.
    """

    def __init__(
        self,
        subset_size: int | None = None,
        lmbda: float = 1.0,
        oversample: int = 2,
        fisher_reduction: str = "mean",
        dtype: str = "float32",
    ) -> None:
        super().__init__(subset_size)
        try:
            self.hyperparameters = Hyperparameters(lmbda, oversample, fisher_reduction)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.dtype = floating_type(dtype)


class Form(NamedTuple):
    """A way to compute the same selection.

    Attributes:
        select: The selection, of the arguments of :func:`dal.functional.bait.select`.
        flops: Its operations.
        num_bytes: The memory that it takes beside scratch, in bytes.
    """

    select: Callable[..., bait_objective.Selection]
    flops: Callable[[Sizes], int]
    num_bytes: Callable[[Sizes, int], int]


FORMS = {
    "primal": Form(bait.select, bait_cost.primal_flops, bait_cost.primal_bytes),
    "dual": Form(bait_dual.select, bait_cost.dual_flops, bait_cost.dual_bytes),
}


class Bait(FisherStrategy):
    """BAIT, exact: no gradient embedding and no information matrix of an example is ever formed.

    There are two ways to the same selection. The memory of the primal form grows with (K·D)², and
    that of the dual form with the square of the number of examples times the rank of their
    information: K − 1 here, c for :class:`BaitExp`. Whether the device has the memory is checked
    before it is taken; see :mod:`dal.functional.bait_cost`.

    Args:
        subset_size: As in :class:`FisherStrategy`.
        lmbda: As in :class:`FisherStrategy`.
        oversample: As in :class:`FisherStrategy`.
        fisher_reduction: As in :class:`FisherStrategy`.
        dtype: As in :class:`FisherStrategy`; the dual form computes in float64 in any case.
        form: ``"primal"``, ``"dual"``, or ``"auto"`` for the one with fewer operations of those
            that fit the memory.

    References:
        Ash et al. (2021), "Gone Fishing: Neural Active Learning with Fisher Embeddings".
    """

    forms: ClassVar[tuple[str, ...]] = ("primal", "dual")

    def __init__(
        self,
        subset_size: int | None = None,
        lmbda: float = 1.0,
        oversample: int = 2,
        fisher_reduction: str = "mean",
        dtype: str = "float32",
        form: str = "auto",
    ) -> None:
        super().__init__(subset_size, lmbda, oversample, fisher_reduction, dtype)
        names = ("auto", *self.forms)
        if form not in names:
            raise ConfigError(f"Unknown `form` '{form}'. {did_you_mean(form, names)}")
        self.form = form

    def factors(self, probs: Tensor) -> Tensor:
        """A of every row, ``(N, K, r)``, from its class probabilities ``(N, K)``."""
        return fisher.full_factors(probs)

    def select(self, query: Query) -> Selection:
        """In the order in which they were added; scores are what each lowered tr(M⁻¹F) by then.

        Raises:
            ResourceError: If the device has too little memory.
        """
        labeled_factors = self.factors(query.labeled_probs.to(self.dtype))
        form = self._choose_form(query, *labeled_factors.shape[1:])
        shared = {"shares": query.shares} if self.is_shared else {}
        selected = FORMS[form].select(
            rows_of_type(query.embedding_rows, self.dtype),
            query.map_pool(lambda probs: self.factors(probs.to(self.dtype))),
            query.labeled_embeddings.to(self.dtype),
            labeled_factors,
            query.num,
            self.hyperparameters,
            query.report,
            **shared,
        )
        derived: dict[str, float | int | str] = {"form": form} if len(self.forms) > 1 else {}
        return Selection(selected.positions, selected.gains, derived)

    def _choose_form(self, query: Query, num_classes: int, rank: int) -> str:
        """The form that computes the selection: of those that fit, the one with least to do."""
        num_pool, available = len(query.pool), devices.available_bytes(query.device)
        sizes = Sizes(
            num_pool,
            query.embedding_size,
            num_classes,
            rank,
            len(query.labeled),
            query.num,
            self.hyperparameters.oversample,
            query.pool.are_kept(query.embedding_size),
        )
        scratch = bait.NUM_CHUNKS * fisher.scratch_bytes(query.device)

        def needed(form: str, num_pool: int) -> int:
            of_pool = sizes._replace(num_pool=num_pool)
            return FORMS[form].num_bytes(of_pool, self.dtype.itemsize) + scratch

        allowed = self.forms if self.form == "auto" else (self.form,)
        fitting = [form for form in allowed if needed(form, num_pool) <= available]
        if fitting:
            return min(fitting, key=lambda form: FORMS[form].flops(sizes))
        shown = ", ".join(
            f"{devices.shown(needed(form, num_pool))} in its {form} form" for form in allowed
        )
        raise ResourceError(
            f"{type(self).__name__} needs memory for {num_pool} × {query.embedding_size} features "
            f"and {query.num_classes} classes: {shown}; {query.device} has "
            f"{devices.shown(available)}. {self._advice(sizes, needed, available)}."
        )

    def _advice(self, sizes: Sizes, needed: Callable[[str, int], int], available: int) -> str:
        """What to do where a selection does not fit; ``needed`` are bytes by form and pool size."""
        advice = "Choose strategy=bait_binary, whose memory does not grow with the classes"
        sizes_of_pool = range(sizes.num_pool + 1)
        largest = {
            form: bisect_right(sizes_of_pool, available, key=partial(needed, form)) - 1
            for form in self.forms
        }
        form = max(self.forms, key=largest.__getitem__)
        if largest[form] < sizes.num:
            return advice
        options = [] if self.form in ("auto", form) else [f"strategy.form={form}"]
        if largest[form] < sizes.num_pool:
            options.append(f"strategy.subset_size={largest[form]}")
        return f"{advice}, or what fits in the {form} form: {' '.join(options)}"


class BaitExp(Bait):
    """BAIT (Exp): the expectation over the most probable classes only.

    In its dual form the number of classes hardly matters.

    Args:
        subset_size: As in :class:`FisherStrategy`.
        lmbda: As in :class:`FisherStrategy`.
        oversample: As in :class:`FisherStrategy`.
        fisher_reduction: As in :class:`FisherStrategy`.
        dtype: As in :class:`FisherStrategy`.
        top_classes: Their number c; the paper finds 2 enough. With c = K it is :class:`Bait`.
        form: As in :class:`Bait`.

    References:
        Huseljic et al. (2024), "Fast Fishing", section 5.1.
    """

    def __init__(
        self,
        subset_size: int | None = None,
        lmbda: float = 1.0,
        oversample: int = 2,
        fisher_reduction: str = "mean",
        dtype: str = "float32",
        top_classes: int = 2,
        form: str = "auto",
    ) -> None:
        super().__init__(subset_size, lmbda, oversample, fisher_reduction, dtype, form)
        if top_classes < 1:
            raise ConfigError(f"Expected `top_classes` of at least 1, got {top_classes}.")
        self.top_classes = top_classes

    def factors(self, probs: Tensor) -> Tensor:
        """A of every row, ``(N, K, c)``, from its class probabilities ``(N, K)``.

        Raises:
            ConfigError: If there are fewer than c classes.
        """
        if self.top_classes > probs.shape[-1]:
            raise ConfigError(
                f"Expected `top_classes` in [1, {probs.shape[-1]}], the number of classes, got "
                f"{self.top_classes}."
            )
        return fisher.top_factors(probs, self.top_classes)


class BaitBinary(Bait):
    """BAIT (Binary): as if the most probable class against the rest were the task.

    Takes the arguments of :class:`FisherStrategy`. Time and memory do not depend on K. With K = 1
    the primal form is always the better one.

    References:
        Huseljic et al. (2024), "Fast Fishing", section 5.2.
    """

    forms = ("primal",)
    is_shared: ClassVar[bool] = True

    def __init__(
        self,
        subset_size: int | None = None,
        lmbda: float = 1.0,
        oversample: int = 2,
        fisher_reduction: str = "mean",
        dtype: str = "float32",
    ) -> None:
        super().__init__(subset_size, lmbda, oversample, fisher_reduction, dtype)

    def factors(self, probs: Tensor) -> Tensor:
        """A of every row, ``(N, 1, 1)``, from its class probabilities ``(N, K)``."""
        return fisher.binary_factors(probs)

    def select(self, query: Query) -> Selection:
        """As :meth:`Bait.select`; of several processes each reads its own share of the rows."""
        _, own = query.own_share(bait_rank_one.chunk_rows(query.embedding_size, query.device))
        return super().select(own)


class BaitDiagonal(FisherStrategy):
    """BAIT (Diagonal): only the diagonal of the information matrices.

    Takes the arguments of :class:`FisherStrategy`, and ``candidate``. By default every matrix is
    diagonal, which is not the published algorithm: there a candidate keeps its full rank, and after
    each step only the diagonal of the inverse is kept. ``candidate="full"`` is the published one.
    Memory: 4·U·(2D + 2K) bytes.

    Args:
        subset_size: As in :class:`FisherStrategy`.
        lmbda: As in :class:`FisherStrategy`.
        oversample: As in :class:`FisherStrategy`.
        fisher_reduction: As in :class:`FisherStrategy`.
        dtype: As in :class:`FisherStrategy`.
        candidate: What a candidate adds to M: ``"diagonal"`` or ``"full"``.

    References:
        Huseljic et al. (2024), "Fast Fishing", section 6.2; ``candidate="full"`` as in their code.
    """

    def __init__(
        self,
        subset_size: int | None = None,
        lmbda: float = 1.0,
        oversample: int = 2,
        fisher_reduction: str = "mean",
        dtype: str = "float32",
        candidate: str = "diagonal",
    ) -> None:
        super().__init__(subset_size, lmbda, oversample, fisher_reduction, dtype)
        forms = {"diagonal": bait_diagonal.select, "full": bait_diagonal.select_full_rank}
        if candidate not in forms:
            raise ConfigError(f"Expected `candidate` of 'diagonal' or 'full', got '{candidate}'.")
        self.form = forms[candidate]

    def select(self, query: Query) -> Selection:
        """In the order in which they were added; scores are what each lowered tr(M⁻¹F) by then."""
        selected = self.form(
            query.pool_embeddings.to(self.dtype),
            query.pool_probs.to(self.dtype),
            query.labeled_embeddings.to(self.dtype),
            query.labeled_probs.to(self.dtype),
            query.num,
            self.hyperparameters,
        )
        return Selection(selected.positions, selected.gains)
