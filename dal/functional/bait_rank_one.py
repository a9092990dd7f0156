"""What BAIT computes of all candidates of rank one, v = a h: F, P = vᵀM⁻¹v and Q = vᵀM⁻¹FM⁻¹v.

P and Q come from one product. A matrix S that diagonalises both, M⁻¹ = S Sᵀ and
M⁻¹FM⁻¹ = S Λ Sᵀ, gives them as sums of squares of z = Sᵀh: P = a² Σ z², Q = a² Σ λ z². No term is
negative, so P and Q keep all digits that z has. A product with M⁻¹ itself keeps only those that h
has: on features of norm 1000 P can be a millionth of ‖h‖².
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dal.functional import bait_inverse, fisher, sharding
from dal.functional.rows import Rows, size_on
from dal.functional.sharding import Shares

# Rows of a chunk. A process has whole chunks, since what is computed of a row may depend in its
# last digit on the rows that are computed together.
CHUNK_ROWS = {"cpu": 1 << 13, "cuda": 1 << 17}
CHUNK_ENTRIES = {"cpu": 1 << 22, "cuda": 1 << 26}  # of features, if they are wide
MIN_CHUNK_ROWS = 256


def chunk_rows(num_features: int, device: torch.device) -> int:
    """Rows that are read and computed together in every pass; a power of two.

    Args:
        num_features: D.
        device: Where they are.

    Example:
        >>> [chunk_rows(num_features, torch.device("cpu")) for num_features in (384, 4096)]
        [8192, 1024]
    """
    most, num_entries = (size_on(device, of) for of in (CHUNK_ROWS, CHUNK_ENTRIES))
    fitting = 1 << (num_entries // num_features).bit_length() - 1
    return min(most, max(MIN_CHUNK_ROWS, fitting))


def chunks(features: Rows) -> Iterator[slice]:
    """Slices of consecutive rows: :func:`chunk_rows` each, but for the last one.

    Args:
        features: ``(N, D)``; its shape and device matter.

    Example:
        >>> list(chunks(torch.empty(10_000, 384)))
        [slice(0, 8192, None), slice(8192, 10000, None)]
    """
    num_rows, num_features = features.shape
    size = chunk_rows(num_features, features.device)
    return (slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size))


def information(features: Rows, factors: Tensor, offset: int, shares: Shares) -> Tensor:
    """Sum of the information a² h hᵀ of the candidates of all processes: 1.5·N·D² flops.

    Args:
        features: h, ``(N, D)``, of this process; read once in chunks.
        factors: a, ``(N, 1, 1)``.
        offset: How many candidates the processes before this one have; whole chunks.
        shares: The processes.

    Returns:
        ``(D, D)``, symmetric. Memory: 2 log₂ of the number of chunks times that.

    Example:
        >>> h = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
        >>> information(h, torch.ones(2, 1, 1), 0, sharding.ALONE).tolist()
        [[1.0, 2.0], [2.0, 5.0]]
    """
    size = features.shape[1]
    sums = (fisher.information((features[rows], factors[rows])) for rows in chunks(features))
    first = offset // chunk_rows(size, features.device)
    return sharding.total(sums, first, factors.new_empty(size, size), shares)


def terms(
    features: Rows, factors: Tensor, inverse: Tensor, mean_information: Tensor
) -> tuple[Tensor, Tensor]:
    """P and Q of every candidate, ``(N, 1, 1)`` each: 2·N·D² flops.

    Args:
        features: h, ``(N, D)``; read once in chunks.
        factors: a, ``(N, 1, 1)``.
        inverse: M⁻¹, ``(D, D)``, float64.
        mean_information: F, ``(D, D)``.

    Memory: that of the result, and the scratch of a chunk.

    Example:
        >>> h, a, f = torch.tensor([[2.0, 1.0]]), torch.ones(1, 1, 1), torch.eye(2)
        >>> terms(h, a, torch.diag(torch.tensor([0.25, 1.0])).double(), f)
        (tensor([[[2.]]]), tensor([[[1.2500]]]))
    """
    root, values = diagonalizer(inverse, mean_information)
    root = root.to(features.dtype)
    weights = torch.stack([torch.ones_like(values), values], 1).to(root)  # (D, 2)
    p, q = factors.new_empty(2, len(features), 1, 1)
    squares = None
    for rows in chunks(features):
        h = features[rows]  # (n, D)
        if squares is None or len(squares) != len(h):
            squares = torch.empty_like(h)
        torch.mm(h, root, out=squares).square_()  # z²
        of_rows = (squares @ weights).mul_(factors[rows, 0].square())  # (n, 2)
        p[rows], q[rows] = of_rows[:, :1, None], of_rows[:, 1:, None]
    return p, q


def diagonalizer(inverse: Tensor, mean_information: Tensor) -> tuple[Tensor, Tensor]:
    """S and the diagonal of Λ, ``(D, D)`` and ``(D,)``, in float64.

    With M⁻¹ = L Lᵀ, Λ and E are the eigenvalues and eigenvectors of LᵀFL, and S = L E.

    Args:
        inverse: M⁻¹, ``(D, D)``, float64.
        mean_information: F, ``(D, D)``.

    Example:
        >>> inverse = torch.tensor([[0.25]], dtype=torch.float64)
        >>> [found.tolist() for found in diagonalizer(inverse, torch.tensor([[8.0]]))]
        [[[0.5]], [2.0]]
    """
    root = bait_inverse.positive_cholesky(inverse.clone())
    product = root.mT @ mean_information.to(root.dtype) @ root
    values, vectors = torch.linalg.eigh(product)
    return root @ vectors, values.clamp_min(0)
