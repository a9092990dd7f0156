"""BAIT and its approximations: the batch that says most about the last layer."""

from torch import Tensor

from dal.data.rows import rows_of_type
from dal.errors import ConfigError, ResourceError
from dal.functional import bait, bait_diagonal, fisher
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


class Bait(FisherStrategy):
    """BAIT, exact: no gradient embedding and no information matrix of an example is ever formed.

    Takes the arguments of :class:`FisherStrategy`. Memory: see :func:`dal.functional.bait.
    peak_entries`; whether the device has it is checked before it is taken.

    References:
        Ash et al. (2021), "Gone Fishing: Neural Active Learning with Fisher Embeddings".
    """

    def factors(self, probs: Tensor) -> Tensor:
        """A of every row, ``(N, K, r)``, from its class probabilities ``(N, K)``."""
        return fisher.full_factors(probs)

    def select(self, query: Query) -> Selection:
        """In the order in which they were added; scores are what each lowered tr(M⁻¹F) by then.

        Raises:
            ResourceError: If the device has too little memory.
        """
        labeled_factors = self.factors(query.labeled_probs.to(self.dtype))
        self._check_memory(query, *labeled_factors.shape[1:])
        selected = bait.select(
            rows_of_type(query.embedding_rows, self.dtype),
            query.map_pool(lambda probs: self.factors(probs.to(self.dtype))),
            query.labeled_embeddings.to(self.dtype),
            labeled_factors,
            query.num,
            self.hyperparameters,
            query.report,
        )
        return Selection(selected.positions, selected.gains)

    def _check_memory(self, query: Query, num_classes: int, rank: int) -> None:
        fixed, per_row = bait.peak_entries(
            query.embedding_size,
            num_classes,
            rank,
            len(query.labeled),
            query.num,
            self.hyperparameters.oversample,
            are_kept=query.pool.are_kept(query.embedding_size),
        )
        num_rows, entry = len(query.pool), self.dtype.itemsize
        scratch = bait.NUM_CHUNKS * fisher.scratch_bytes(query.device)
        needed = entry * (fixed + per_row * num_rows) + scratch
        available = devices.available_bytes(query.device)
        if needed <= available:
            return
        fitting = ((available - scratch) // entry - fixed) // per_row
        advice = "Choose strategy=bait_binary, whose memory does not grow with the classes"
        if fitting >= query.num:
            advice += f", or let it choose from a part: strategy.subset_size={fitting}"
        raise ResourceError(
            f"{type(self).__name__} needs {devices.shown(needed)} for {num_rows} × "
            f"{query.embedding_size} features and {query.num_classes} classes, and "
            f"{query.device} has {devices.shown(available)}. {advice}."
        )


class BaitExp(Bait):
    """BAIT (Exp): the expectation over the most probable classes only.

    Takes the arguments of :class:`FisherStrategy`, and:

    Args:
        subset_size: As in :class:`FisherStrategy`.
        lmbda: As in :class:`FisherStrategy`.
        oversample: As in :class:`FisherStrategy`.
        fisher_reduction: As in :class:`FisherStrategy`.
        dtype: As in :class:`FisherStrategy`.
        top_classes: Their number c; the paper finds 2 enough. With c = K it is :class:`Bait`.

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
    ) -> None:
        super().__init__(subset_size, lmbda, oversample, fisher_reduction, dtype)
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

    Takes the arguments of :class:`FisherStrategy`. Time and memory do not depend on K.

    References:
        Huseljic et al. (2024), "Fast Fishing", section 5.2.
    """

    def factors(self, probs: Tensor) -> Tensor:
        """A of every row, ``(N, 1, 1)``, from its class probabilities ``(N, K)``."""
        return fisher.binary_factors(probs)


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
