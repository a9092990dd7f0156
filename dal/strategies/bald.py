"""BALD, PowerBALD and BatchBALD: the labels that say most about the weights of the head."""

from typing import ClassVar

import torch
from torch import Tensor

from dal.errors import ConfigError, ResourceError
from dal.functional import information, sharding
from dal.runtime import devices
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection, Strategy


class Bald(Strategy):
    """The highest mutual information of label and weights, each example by itself.

    The samples are of the head's posterior, and the same for all examples.

    Args:
        subset_size: As in :class:`Strategy`.
        num_samples: Samples of the posterior, S.
        power: Whether to draw a batch with probabilities ∝ the mutual information, as PowerBALD
            does, instead of taking the B highest, which resemble each other.

    Memory: one chunk of logits at a time.

    References:
        Houlsby et al. (2011), "Bayesian active learning for classification and preference
        learning"; Kirsch et al. (2021), "A simple baseline for batch active learning with
        stochastic acquisition functions", for ``power``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.HEAD, Need.POSTERIOR})
    is_shared: ClassVar[bool] = True

    def __init__(
        self, subset_size: int | None = None, num_samples: int = 20, power: bool = False
    ) -> None:
        super().__init__(subset_size)
        self.num_samples = _checked_num_samples(num_samples)
        self.power = power

    def select(self, query: Query) -> Selection:
        """Ties go to the lower position.

        Scores are mutual informations in nats; with ``power`` their logarithms plus the noise, and
        NaN for examples without information, which are drawn uniformly when there are no others.
        """
        own, part = query.own_share()
        informations = part.map_pool_logit_samples(information.mutual_information, self.num_samples)
        where = (query.num, own.start, query.shares)
        if not self.power:
            return Selection(*sharding.highest(informations, *where))
        perturbed = information.perturbed_logarithms(informations, query.generator, query.shares)
        positions, scores = sharding.highest(perturbed, *where)
        is_drawn = sharding.taken(informations, positions, *where[1:]) == 0
        scores = scores.masked_fill(is_drawn, torch.nan)
        return Selection(positions, scores, {"num_uniform": int(is_drawn.sum())})


class BatchBald(Strategy):
    """The batch with the highest mutual information of all its labels and the weights, greedily.

    S samples tell at most log S nats apart, which a few examples reach; what is selected after
    them is hardly better than random. So it is for small batches only.

    Args:
        subset_size: As in :class:`Strategy`.
        num_samples: Samples of the posterior, S.
        max_configurations: Joint labels of a batch that are taken into account, all as long as they
            are no more, and a sample of this size after that.

    Memory: 4·U·K·S bytes, of which each of several processes has its share; whether the device has
    it is checked before it is taken.

    References:
        Kirsch et al. (2019), "BatchBALD: efficient and diverse batch acquisition for deep Bayesian
        active learning".
    """

    MAX_NUM = 50

    needs: ClassVar[frozenset[Need]] = frozenset({Need.HEAD, Need.POSTERIOR})
    is_shared: ClassVar[bool] = True

    def __init__(
        self,
        subset_size: int | None = None,
        num_samples: int = 100,
        max_configurations: int = 1000,
    ) -> None:
        super().__init__(subset_size)
        self.num_samples = _checked_num_samples(num_samples)
        if max_configurations < 1:
            raise ConfigError(
                f"Expected `max_configurations` of at least 1, got {max_configurations}."
            )
        self.max_configurations = max_configurations

    def select(self, query: Query) -> Selection:
        """In the order of the greedy search; scores are what each added to the information in nats.

        Raises:
            ConfigError: If more than 50 examples are asked for.
            ResourceError: If the device has too little memory.
        """
        if query.num > self.MAX_NUM:
            raise ConfigError(
                f"Expected an acquisition size of at most {self.MAX_NUM} with BatchBald, got "
                f"{query.num}: {self.num_samples} samples of the posterior are told apart by a few "
                "labels. Select more with strategy=bald strategy.power=true."
            )
        _, part = query.own_share()
        self._check_memory(part)
        selected = information.batch_bald(
            part.map_pool_logit_samples(_probs_by_row, self.num_samples, joint=True),
            query.num,
            query.generator,
            self.max_configurations,
            query.shares,
        )
        derived = {
            "information": float(f"{selected.gains.nansum():.7g}"),
            "num_sampled": selected.num_sampled,
            "num_uniform": selected.num_uniform,
        }
        return Selection(selected.positions, selected.gains, derived)

    def _check_memory(self, query: Query) -> None:
        bytes_per_row = 4 * query.num_classes * self.num_samples
        needed = bytes_per_row * len(query.pool)
        available = devices.available_bytes(query.device)
        if needed <= available:
            return
        raise ResourceError(
            f"BatchBald needs {devices.shown(needed)} for {len(query.pool)} examples, "
            f"{query.num_classes} classes and {self.num_samples} samples, and {query.device} has "
            f"{devices.shown(available)}. Let it choose from a part: "
            f"strategy.subset_size={available // bytes_per_row}, or choose strategy=bald."
        )


def _probs_by_row(logits: Tensor) -> Tensor:
    """Class probabilities ``(M, K, S)`` of logits ``(S, M, K)``."""
    return logits.permute(1, 2, 0).contiguous().softmax(1)


def _checked_num_samples(num_samples: int) -> int:
    if num_samples < 2:
        raise ConfigError(f"Expected `num_samples` of at least 2, got {num_samples}.")
    return num_samples
