"""Random problems for BAIT: pool and labeled examples, and the probabilities of a linear head."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import fisher
from tests import reference

# BAIT and its approximations, by the factors that they take, and their references.
FACTORS: dict[str, Callable[[Tensor], Tensor]] = {
    "full": fisher.full_factors,
    "exp": lambda probs: fisher.top_factors(probs, 2),
    "binary": fisher.binary_factors,
}
REFERENCE_FACTORS: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": lambda p: reference.top_factor(p, 2),
    "binary": reference.binary_factor,
}
each_factor = pytest.mark.parametrize("factor", FACTORS)


class RandomProblem(NamedTuple):
    features: Tensor
    probs: Tensor
    labeled_features: Tensor
    labeled_probs: Tensor

    def to(self, dtype: torch.dtype) -> "RandomProblem":
        return RandomProblem(*(tensor.to(dtype) for tensor in self))

    def arguments(self, factor: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features and factors of the pool, and then of the labeled examples."""
        factors = FACTORS[factor]
        return (
            self.features,
            factors(self.probs),
            self.labeled_features,
            factors(self.labeled_probs),
        )

    def informations(self, factor: str) -> tuple[list[Tensor], list[Tensor]]:
        """The information matrix of each example of the pool, and of each labeled one."""

        def of_one(h: Tensor, p: Tensor) -> Tensor:
            if factor == "full":  # from the gradients themselves, not from factors
                return reference.fisher(p, h)
            v = reference.embedding(h, REFERENCE_FACTORS[factor](p))
            return v @ v.mT

        return (
            [of_one(h, p) for h, p in zip(self.features, self.probs, strict=True)],
            [of_one(h, p) for h, p in zip(self.labeled_features, self.labeled_probs, strict=True)],
        )


def draw(
    num: int, num_labeled: int, num_features: int, num_classes: int, seed: int, scale: float = 2.0
) -> RandomProblem:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weight = normal(num_features, num_classes)
    features, labeled = scale * normal(num, num_features), scale * normal(num_labeled, num_features)
    return RandomProblem(
        features, (features @ weight).softmax(1), labeled, (labeled @ weight).softmax(1)
    )


def draw_at_scale(
    num: int, num_labeled: int, num_features: int, num_classes: int, seed: int, norm: float
) -> RandomProblem:
    """As a network's features are: a spectrum that decays, and a norm far above 1.

    All numbers are float32, kept in float64.
    """
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num + num_labeled, num_features, generator=generator)
    features *= torch.arange(1, num_features + 1) ** -0.5
    features *= norm / features.norm(dim=1).mean()
    weight = torch.randn(num_features, num_classes, generator=generator) * (3 / norm)
    probs = (features @ weight).softmax(1)
    problem = RandomProblem(
        features[num_labeled:], probs[num_labeled:], features[:num_labeled], probs[:num_labeled]
    )
    return problem.to(torch.float64)


def small_problems(num_classes: st.SearchStrategy[int]) -> st.SearchStrategy[RandomProblem]:
    return st.builds(
        draw,
        num=st.integers(4, 14),
        num_labeled=st.integers(0, 6),
        num_features=st.integers(1, 4),
        num_classes=num_classes,
        seed=st.integers(0, 10**6),
    )


problems = small_problems(st.integers(2, 4))
