"""Gaussian kernel values of unit rows, and bounds of them that hold whatever the rounding.

The kernel is k(x, y) = exp(−(‖x − y‖ / h)²), of rows scaled to length 1.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_ROWS = 1024
CHUNK_ENTRIES = 1 << 23

# Rows closer than this are taken for equal where the smallest distance is sought: scaling a row in
# float32 can move its direction that far.
NO_DISTANCE = 1e-6


def unit_rows(features: Tensor) -> Tensor:
    """Rows scaled to length 1, ``(N, D)``, float64; rows of zeros stay as they are.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]], dtype=torch.float64)
    """
    return F.normalize(features.double(), eps=torch.finfo(torch.float64).tiny)


def smallest_distance(features: Tensor) -> float | None:
    """The smallest distance above 0 between two rows of unit length; None if there is none.

    Distances below 1e-6 count as 0: the rows are float32. The pair is found by float64 products,
    which are wrong by less than 1e-13 in the square, and its distance is that of the difference.

    Args:
        features: ``(N, D)``, of any length.

    Memory: 8·N·D bytes and a block of products.

    Example:
        >>> smallest_distance(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]))
        1.4142135623730951
    """
    rows = unit_rows(features)
    squares = rows.square().sum(1)
    smallest, pair = math.inf, (0, 0)
    for first in range(0, len(rows), BLOCK_ROWS):
        block = rows[first : first + BLOCK_ROWS]
        # Only pairs of a row and a later one, or one in the same block.
        distances = squares[first : first + len(block), None] + squares[first:]
        distances.addmm_(block, rows[first:].mT, alpha=-2)
        distances[distances < NO_DISTANCE**2] = math.inf
        if distances.numel() and distances.min() < smallest:
            smallest = float(distances.min())
            row, other = divmod(int(distances.argmin()), distances.shape[1])
            pair = (first + row, first + other)
    if smallest == math.inf:
        return None
    return float(torch.linalg.vector_norm(rows[pair[0]] - rows[pair[1]]))


def scaled(features: Tensor, bandwidth: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Rows a and numbers b with aᵢ·aⱼ + bᵢ + bⱼ at least −(‖x − y‖ / h)² after all rounding.

    −‖x − y‖² = 2 x·y − ‖x‖² − ‖y‖², with a = √2 x / h and b = −‖x‖² / h². In a type of rounding
    error ε each of the D products, the D + 1 sums, and the rounding of a and b may be wrong by ε
    times Σ|terms| <= 4 / h², in whatever order they are added. b is raised by twice that.

    Example:
        >>> a, b = scaled(torch.eye(2), bandwidth=1.0, dtype=torch.float64)
        >>> (a @ a.mT + b[:, None] + b).round(decimals=4)
        tensor([[ 0., -2.],
                [-2.,  0.]], dtype=torch.float64)
    """
    factor = math.sqrt(2) / bandwidth
    products = torch.empty_like(features, dtype=dtype)
    offsets = torch.empty(len(features), dtype=dtype, device=features.device)
    slack = 2 * error(features.shape[1], bandwidth, dtype)
    size = max(1, CHUNK_ENTRIES // max(1, features.shape[1]))
    for first in range(0, len(features), size):
        rows = unit_rows(features[first : first + size])
        products[first : first + size] = factor * rows
        offsets[first : first + size] = slack / 2 - rows.square().sum(1) / bandwidth**2
    return products, offsets


def highest_kernel(
    features: Tensor, rows: Tensor, centres: Tensor, bandwidth: float, dtype: torch.dtype
) -> Tensor:
    """Kernel value of each of some rows with the nearest centre; 0 without centres.

    Args:
        features: ``(N, D)``, of any length.
        rows: Which of them, ``(M,)``, int64.
        centres: ``(C, D)``, float64, of length 1 or 0.
        bandwidth: h, above 0.
        dtype: Of the products by which the nearest is found. Its value is that of the difference.

    Returns:
        ``(M,)``, float64.

    Example:
        >>> rows, centres = torch.tensor([[2.0, 0.0]]), torch.eye(2, dtype=torch.float64)
        >>> highest_kernel(rows, torch.tensor([0]), centres[1:], 1.0, torch.float64)
        tensor([0.1353], dtype=torch.float64)
    """
    highest = torch.zeros(len(rows), dtype=torch.float64, device=features.device)
    if len(centres) == 0:
        return highest
    columns, norms = centres.to(dtype).mT, centres.square().sum(1)
    size = max(1, CHUNK_ENTRIES // max(centres.shape))
    for part, values in zip(rows.split(size), highest.split(size), strict=True):
        units = unit_rows(features[part])
        nearest = (norms - 2 * (units.to(dtype) @ columns)).argmin(1)
        squares = (units - centres[nearest]).square().sum(1)
        values.copy_(torch.exp(-squares / bandwidth**2))
    return highest


def error(num_features: int, bandwidth: float, dtype: torch.dtype) -> float:
    """The largest error of an exponent, see :func:`scaled`.

    Example:
        >>> error(384, bandwidth=1.0, dtype=torch.float32)
        9.34600830078125e-05
    """
    return (num_features + 8) * roundoff(dtype) * 4 / bandwidth**2


def overshoot(num_features: int, bandwidth: float) -> float:
    """How far above the true one a float32 exponent may be: raised by 2 errors, wrong by one.

    Example:
        >>> round(overshoot(384, bandwidth=1.0), 6)
        0.000282
    """
    return 3 * error(num_features, bandwidth, torch.float32) + 32 * roundoff(torch.float32)


def kernel_bound(
    a: Tensor, a_offsets: Tensor, b: Tensor, b_offsets: Tensor, shift: float = 0.0
) -> Tensor:
    """Kernel values of two blocks, ``(R, C)``, times exp(shift); none below the true one times it.

    With ``shift`` = −:func:`overshoot` none is above the true one.

    Example:
        >>> a, b = scaled(torch.eye(2), bandwidth=1.0, dtype=torch.float64)
        >>> kernel_bound(a, b, a, b).round(decimals=4)
        tensor([[1.0000, 0.1353],
                [0.1353, 1.0000]], dtype=torch.float64)
    """
    exponents = a_offsets[:, None] + b_offsets
    # exp itself is wrong by a few roundings: relative, and so a shift of the exponent.
    exponents.addmm_(a, b.mT).add_(16 * roundoff(a.dtype) + shift)
    return exponents.exp_()


def roundoff(dtype: torch.dtype) -> float:
    """Largest relative error of a rounded number in a product, as the user has set products.

    Example:
        >>> roundoff(torch.float64) == 2.0**-53
        True
    """
    if dtype == torch.float64:
        return 2.0**-53
    # With "high" and "medium" factors may be rounded to 11 and 8 bits.
    return {"highest": 2.0**-24, "high": 2.0**-11, "medium": 2.0**-8}[
        torch.get_float32_matmul_precision()
    ]


def sum_slack(num: int, dtype: torch.dtype) -> float:
    """What makes a sum of ``num`` numbers, none negative, at least the true one.

    Example:
        >>> sum_slack(1000, torch.float32)
        1.0001192092895508
    """
    return 1 + 2 * num * roundoff(dtype)


def rounded_down(values: Tensor) -> Tensor:
    """Float32 numbers, none above those given, none of which is negative.

    Example:
        >>> rounded_down(torch.tensor([0.1], dtype=torch.float64)).double() <= 0.1
        tensor([True])
    """
    return (values * (1 - 2**-22)).float()


def rounded_up(values: Tensor) -> Tensor:
    """Float32 numbers, none below those given, none of which is negative.

    Example:
        >>> rounded_up(torch.tensor([0.7], dtype=torch.float64)).double() >= 0.7
        tensor([True])
    """
    return (values * (1 + 2**-22)).float()
