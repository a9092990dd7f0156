"""Symmetric blocks with few classes: half of the blocks, and three quarters of each.

Blocks (k, l) and (l, k) are equal, and of a block only the symmetric part matters. So only the
upper half of the blocks is computed, and three of the four quarters of each block: ¾·K(K+1)·D²
flops for each row, all in large matrix products.
"""

import torch
from torch import Tensor


class Sum:
    """Sum of A Aᵀ ⊗ h hᵀ over rows: ¾·K(K+1)·D² flops for each.

    Args:
        factors: ``(N, K, r)``; their number of classes, dtype and device matter.
        num_features: D.

    Memory: half of (KD)² entries.

    Attributes:
        row_width: Entries that are computed at a time for each row.

    Example:
        >>> a = torch.ones(2, 1, 1)
        >>> of_all = Sum(a, num_features=2)
        >>> of_all.add(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), a)
        >>> of_all.matrix().tolist()
        [[1.0, 2.0], [2.0, 5.0]]
    """

    def __init__(self, factors: Tensor, num_features: int) -> None:
        self.num_classes, self.num_features = factors.shape[1], num_features
        self.row_width = self.num_classes * num_features
        self.bands = _bands(num_features)
        # For each class k and each band of w features from `start` on: (w, (K − k)·(D − start)),
        # the rows of the band in the blocks (k, l >= k), from the columns of the band on.
        self.sums = [
            [
                factors.new_zeros(
                    band.stop - band.start, (self.num_classes - k) * (num_features - band.start)
                )
                for band in self.bands
            ]
            for k in range(self.num_classes)
        ]

    def add(self, features: Tensor, factors: Tensor) -> None:
        """Adds rows ``(n, D)`` with factors ``(n, K, r)``."""
        weights = factors @ factors.mT  # A Aᵀ, (n, K, K)
        for k in range(self.num_classes):
            # (n, (K − k)·D), one band after the other, so that the columns from any band on are
            # next to each other.
            weighted = torch.cat(
                [
                    (weights[:, k, k:, None] * features[:, None, band]).flatten(1)
                    for band in self.bands
                ],
                1,
            )
            for band, partial in zip(self.bands, self.sums[k], strict=True):
                first = (self.num_classes - k) * band.start
                partial.addmm_(features[:, band].mT, weighted[:, first:])

    def matrix(self) -> Tensor:
        """The sum, ``(KD, KD)``, symmetric; no rows can be added any more."""
        num_classes, num_features = self.num_classes, self.num_features
        total = self.sums[0][0].new_empty(num_classes, num_features, num_classes, num_features)
        for k in range(num_classes):
            for number, (band, partial) in enumerate(zip(self.bands, self.sums[k], strict=True)):
                first = 0
                for other in self.bands[number:]:
                    width = (num_classes - k) * (other.stop - other.start)
                    part = partial[:, first : first + width]  # (w, (K − k)·w')
                    part = part.unflatten(1, (num_classes - k, -1))  # (w, K − k, w')
                    total[k, band, k:, other] = part
                    total[k, other, k:, band] = part.permute(2, 1, 0)  # (w', K − k, w)
                    first += width
            self.sums[k].clear()
            total[k + 1 :, :, k] = total[k, :, k + 1 :].transpose(0, 1)
        return total.view(num_classes * num_features, -1)  # (K, D, K, D) -> (KD, KD)


class Form:
    """Vᵀ M V for the embedding V = A ⊗ h of a row: ¾·K(K+1)·D² flops for each.

    Args:
        matrix: M, ``(KD, KD)``, symmetric.
        num_classes: K.

    Memory: half of the matrix.

    Attributes:
        row_width: Entries that are computed at a time for each row.

    Example:
        >>> form = Form(torch.tensor([[2.0, 1.0], [1.0, 2.0]]), num_classes=1)
        >>> form(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.ones(2, 1, 1)).flatten()
        tensor([2., 6.])
    """

    def __init__(self, matrix: Tensor, num_classes: int) -> None:
        self.num_classes = num_classes
        self.row_width = len(matrix)
        self.bands = _bands(len(matrix) // num_classes)
        self.upper = [_upper_bands(matrix, k, num_classes, self.bands) for k in range(num_classes)]

    def __call__(self, features: Tensor, factors: Tensor) -> Tensor:
        """The forms of rows ``(n, D)`` with factors ``(n, K, r)``, ``(n, r, r)``, symmetric."""
        # R above its diagonal, half of it on the diagonal, and 0 below, (n, K, K).
        r = features.new_zeros(len(features), self.num_classes, self.num_classes)
        for k in range(self.num_classes):
            for band, weights in zip(self.bands, self.upper[k], strict=True):
                products = features[:, band] @ weights  # (n, (K − k)·(D − start))
                products = products.unflatten(1, (self.num_classes - k, -1))  # (n, K − k, ·)
                r[:, k, k:] += torch.bmm(products, features[:, band.start :, None]).squeeze(-1)
        r.diagonal(dim1=1, dim2=2).mul_(0.5)
        half = factors.mT @ (r @ factors)  # (n, r, r)
        return half + half.mT


def _bands(num_features: int) -> list[slice]:
    """The two halves of the features; halving them again would save flops, but no time."""
    middle = num_features // 2
    return [slice(0, middle), slice(middle, num_features)] if middle else [slice(0, num_features)]


def _upper_bands(matrix: Tensor, k: int, num_classes: int, bands: list[slice]) -> list[Tensor]:
    """The rows of each band in the blocks (k, l >= k), from the columns of the band on.

    One matrix ``(w, (K − k)·(D − start))`` per band. What is left out, below the bands on the
    diagonal, is added above them.
    """
    num_features = bands[-1].stop
    blocks = matrix.view(num_classes, num_features, num_classes, num_features)[k, :, k:]
    # `blocks` is (D, K − k, D), and `rows` (w, K − k, D − start).
    upper = []
    for band in bands:
        rows = blocks[band, :, band.start :].clone(memory_format=torch.contiguous_format)
        rows[..., band.stop - band.start :] += blocks[band.stop :, :, band].permute(2, 1, 0)
        upper.append(rows.flatten(1))
    return upper
