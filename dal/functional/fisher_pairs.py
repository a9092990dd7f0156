"""Symmetric blocks with many classes: every pair of features, and of classes, counts once.

Blocks (k, l) and (l, k) are equal, and of a block only the symmetric part matters. So there are
D(D+1)/2 products of two features hᵢ hⱼ of a row, K(K+1)/2 different blocks, and one matrix product
of the two: ½·K(K+1)·D² flops for each row. To form the products of features takes time too. From
MIN_CLASSES on that is less than what :mod:`dal.functional.fisher_bands` computes more.
"""

from itertools import pairwise

import torch
from torch import Tensor

# Measured on CPUs: 10 classes take as long as in bands, and 20 two thirds of the time.
MIN_CLASSES = 12
BAND_FEATURES = 8  # whose products with all features from the first of them on are formed at a time


class Sum:
    """As :class:`dal.functional.fisher_bands.Sum`, in ½·K(K+1)·D² flops for each row.

    Memory: a quarter of (KD)² entries.

    Example:
        >>> a = torch.ones(2, 1, 1)
        >>> of_all = Sum(a, num_features=2)
        >>> of_all.add(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), a)
        >>> of_all.matrix().tolist()
        [[1.0, 2.0], [2.0, 5.0]]
    """

    def __init__(self, factors: Tensor, num_features: int) -> None:
        self.num_classes, self.num_features = factors.shape[1], num_features
        self.row_width = max(BAND_FEATURES * num_features, self.num_classes**2)
        self.bands = _bands(num_features)
        self.classes = torch.triu_indices(self.num_classes, self.num_classes, device=factors.device)
        self.sums = [
            factors.new_zeros(_num_products(band, num_features), self.classes.shape[1])
            for band in self.bands
        ]

    def add(self, features: Tensor, factors: Tensor) -> None:
        """Adds rows ``(n, D)`` with factors ``(n, K, r)``."""
        weights = factors @ factors.mT  # A Aᵀ, (n, K, K)
        weights = weights[:, self.classes[0], self.classes[1]]  # (n, K (K + 1) / 2)
        for band, partial in zip(self.bands, self.sums, strict=True):
            partial.addmm_(_products(features, band).mT, weights)

    def matrix(self) -> Tensor:
        """The sum, ``(KD, KD)``, symmetric."""
        k, d = self.num_classes, self.num_features
        total = self.sums[0].new_empty(k, d, k, d)
        for band, partial in zip(self.bands, self.sums, strict=True):
            by_feature = partial.unflatten(0, (-1, d - band.start))  # (w, D − start, pairs)
            for row, pairs in enumerate(_pairs_by_class(k)):
                of_class = by_feature[..., pairs]  # (w, D − start, K − row)
                total[row, band, row:, band.start :] = of_class.transpose(1, 2)
                total[row, band.start :, row:, band] = of_class.permute(1, 2, 0)
        for row in range(k):
            total[row + 1 :, :, row] = total[row, :, row + 1 :].transpose(0, 1)
        return total.view(k * d, -1)  # (K, D, K, D) -> (KD, KD)


class Form:
    """As :class:`dal.functional.fisher_bands.Form`, in ½·K(K+1)·D² flops for each row.

    Memory: a quarter of the matrix.

    Example:
        >>> form = Form(torch.tensor([[2.0, 1.0], [1.0, 2.0]]), num_classes=1)
        >>> form(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.ones(2, 1, 1)).flatten()
        tensor([2., 6.])
    """

    def __init__(self, matrix: Tensor, num_classes: int) -> None:
        k, d = num_classes, len(matrix) // num_classes
        self.num_classes = k
        self.row_width = max(BAND_FEATURES * d, k**2)
        self.bands = _bands(d)
        first, second = torch.triu_indices(k, k, device=matrix.device)
        self.pair_of = first.new_empty(k, k)  # of each two classes
        self.pair_of[first, second] = torch.arange(len(first), device=matrix.device)
        self.pair_of[second, first] = self.pair_of[first, second]
        blocks = matrix.view(k, d, k, d)
        self.weights = []
        for band in self.bands:
            width = band.stop - band.start
            weights = matrix.new_empty(width, d - band.start, len(first))
            for row, pairs in enumerate(_pairs_by_class(k)):
                of_class = weights[..., pairs]  # (w, D − start, K − row)
                of_class.copy_(blocks[row, band, row:, band.start :].transpose(1, 2))
                # What is left out below the products of the band is added above them.
                of_class[:, width:] += blocks[row, band.stop :, row:, band].permute(2, 0, 1)
            self.weights.append(weights.flatten(0, 1))

    def __call__(self, features: Tensor, factors: Tensor) -> Tensor:
        """The forms of rows ``(n, D)`` with factors ``(n, K, r)``, ``(n, r, r)``, symmetric."""
        r = features.new_zeros(len(features), self.weights[0].shape[1])  # hᵀ M_{kl} h of all pairs
        for band, weights in zip(self.bands, self.weights, strict=True):
            r.addmm_(_products(features, band), weights)
        blocks = r[:, self.pair_of.flatten()].unflatten(1, (self.num_classes, -1))  # (n, K, K)
        forms: Tensor = factors.mT @ (blocks @ factors)  # (n, r, r)
        return (forms + forms.mT) / 2


def _bands(num_features: int) -> list[slice]:
    """All features, in consecutive bands."""
    return [
        slice(start, min(start + BAND_FEATURES, num_features))
        for start in range(0, num_features, BAND_FEATURES)
    ]


def _num_products(band: slice, num_features: int) -> int:
    width: int = band.stop - band.start
    return width * (num_features - int(band.start))


def _products(features: Tensor, band: slice) -> Tensor:
    """hᵢ hⱼ of each row, for i in the band and j from its start on, ``(n, w·(D − start))``."""
    return (features[:, band, None] * features[:, None, band.start :]).flatten(1)


def _pairs_by_class(num_classes: int) -> list[slice]:
    """Which of the pairs (k, l >= k) are those of each k."""
    starts = [k * num_classes - k * (k - 1) // 2 for k in range(num_classes + 1)]
    return [slice(start, stop) for start, stop in pairwise(starts)]
