"""Points as features are at their worst: duplicates, ties, an offset, any norm; in float32."""

import torch
from hypothesis import strategies as st
from torch import Tensor


def draw(kind: str, num: int, num_features: int, norm: float, seed: int) -> Tensor:
    """``(num, num_features)``, float32."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    points = normal(num, num_features)
    few = torch.randint(max(1, num // 3), (num,), generator=generator)
    if kind == "duplicates":
        points = points[few]
    elif kind == "near duplicates":
        points = points[few] + 1e-5 * normal(num, num_features)
    elif kind == "grid":  # ties, and zero vectors among them
        return torch.randint(-1, 2, (num, num_features), generator=generator).float() * round(norm)
    elif kind == "offset":
        points = 1e-4 * points + normal(num_features)
    elif kind == "outlier":
        points[num // 2] *= 1000
    elif kind == "zeros":
        points[few > 0] = 0
    else:
        assert kind == "normal"
    return points * norm


KINDS = ["normal", "duplicates", "near duplicates", "grid", "offset", "outlier", "zeros"]

point_sets: st.SearchStrategy[Tensor] = st.builds(
    draw,
    kind=st.sampled_from(KINDS),
    num=st.integers(2, 20),
    num_features=st.integers(1, 6),
    norm=st.sampled_from([0.1, 1.0, 30.0, 1000.0]),
    seed=st.integers(0, 10**6),
)
