"""The inverse of M in float64, for M = λI + Σ V Vᵀ over the examples that M contains.

In float32 an inverse has too few digits: on features of norm 45 the largest eigenvalue of M is some
thousand times λ, at norm 1000 a million times. M itself is never kept. While it contains few
examples, its inverse is the identity less a matrix of low rank, which is kept as its factors
(:class:`LowRankInverse`); otherwise the inverse is kept as a matrix (:class:`DenseInverse`).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import fisher
from dal.functional.rows import Rows


class LowRankInverse(NamedTuple):
    """M⁻¹ = λ⁻¹ (I − H G⁻¹ Hᵀ), G = λI + HᵀH, for the KD × m matrix H of all columns of V.

    H is never formed: it is the embedding of m / r rows.

    Attributes:
        lmbda: λ.
        features: h of the examples in M, ``(m / r, D)``, float64.
        factors: A of the examples in M, ``(m / r, K, r)``, float64.
        cholesky: L, lower triangular with G = L Lᵀ, ``(m, m)``, float64.
    """

    lmbda: float
    features: Tensor
    factors: Tensor
    cholesky: Tensor

    def times(self, v: Tensor) -> Tensor:
        """M⁻¹ V, ``(KD, s)``, of V in float64."""
        projections = fisher.projections(self.features, self.factors, v)  # (m / r, r, s)
        # With few columns, half the time of torch.cholesky_solve.
        half = torch.linalg.solve_triangular(
            self.cholesky, projections.flatten(0, 1), upper=False
        )  # (m, s)
        solved = torch.linalg.solve_triangular(self.cholesky.mT, half, upper=True)
        return (v - self._combination(solved)) / self.lmbda

    def dense(self) -> Tensor:
        """A copy of M⁻¹ as a matrix, ``(KD, KD)``."""
        size = self.factors.shape[1] * self.features.shape[1]
        return self.times(torch.eye(size).to(self.features))

    def quadratic_forms(self, features: Rows, factors: Tensor) -> Tensor:
        """Vᵀ M⁻¹ V, ``(N, r, r)``, in the dtype of the features: at most 2·N·D·K·m flops.

        It is λ⁻¹ (VᵀV − VᵀH G⁻¹ HᵀV).
        """
        (num_labeled, num_features), rank = self.features.shape, self.factors.shape[2]
        if 0 < num_labeled * (self.factors.shape[1] + 1) <= num_features * rank:
            products = self._forms_by_example(features, factors)
        else:
            products = self._forms_of_root(features, factors)
        chunks = fisher.chunks(features, features.shape[1])
        squared_norms = torch.cat([features[rows].square().sum(1) for rows in chunks])  # (N,)
        # Vᵀ V = (AᵀA) ‖h‖², (N, r, r).
        gram = (factors.mT @ factors).mul_(squared_norms[:, None, None] / self.lmbda)
        return gram.sub_(products)

    def _forms_by_example(self, features: Rows, factors: Tensor) -> Tensor:
        """λ⁻¹ VᵀH G⁻¹ HᵀV in the features' dtype, from products in float64: ½·N·K(K+1)·L² flops.

        L = m / r is the number of examples in M, whose columns of H are A_l ⊗ h_l. As
        (A ⊗ h)ᵀ(A_l ⊗ h_l) = (h·h_l) AᵀA_l, it is the form of A ⊗ s, with s the products h·h_l, for
        the (KL × KL) matrix of the blocks A_l (G⁻¹)_{l l'} A_l'ᵀ. The products are large where the
        form is small, so that float32 would be too short for them.
        """
        (num_labeled, num_classes, rank), lmbda = self.factors.shape, self.lmbda
        inverse = torch.cholesky_inverse(self.cholesky).view(num_labeled, rank, -1)
        left = (self.factors @ inverse).view(num_labeled * num_classes, num_labeled, rank)
        both = left.transpose(0, 1) @ self.factors.mT  # (L', L·K, K')
        by_class = both.view(num_labeled, num_labeled, num_classes, num_classes).permute(2, 1, 3, 0)
        size = num_classes * num_labeled
        form = fisher.block_form(by_class.reshape(size, size) / lmbda, num_classes)
        forms = factors.new_empty(len(features), rank, rank)
        for rows in fisher.chunks(features, 2 * max(form.row_width, features.shape[1])):
            products = features[rows].double() @ self.features.mT  # (n, L)
            forms[rows] = form(products, factors[rows].double())
        return forms

    def _forms_of_root(self, features: Rows, factors: Tensor) -> Tensor:
        """The same as VᵀE EᵀV with E = λ^(−1/2) H L⁻ᵀ: 2·N·D·K·m flops."""
        identity = torch.eye(len(self.cholesky)).to(self.cholesky)
        transposed = torch.linalg.solve_triangular(self.cholesky, identity, upper=False).mT
        root = self._combination(transposed / self.lmbda**0.5).to(features.dtype)  # E, (KD, m)
        return fisher.quadratic_forms_of_root(features, factors, root)

    def weighted(self, mean_information: Tensor) -> Tensor:
        """M⁻¹ F M⁻¹, ``(KD, KD)``, in the dtype of F.

        It is λ⁻² (F − H Jᵀ − J Hᵀ) with J = (F H − ½ H G⁻¹ HᵀFH) G⁻¹.
        """
        dtype = mean_information.dtype
        weighted = mean_information / self.lmbda**2
        of_f = fisher.projections(self.features.to(dtype), self.factors.to(dtype), weighted)
        # λ⁻² F H, (KD, m), in float64: its transpose has the order in memory that a solve needs.
        fh = torch.empty(len(weighted), len(self.cholesky)).to(self.cholesky)
        fh.copy_(of_f.flatten(0, 1).mT)
        del of_f
        core = fisher.projections(self.features, self.factors, fh).flatten(0, 1)  # (m, m)
        halved = torch.cholesky_solve(core / 2, self.cholesky)
        j = torch.cholesky_solve(fh.sub_(self._combination(halved)).mT, self.cholesky)  # Jᵀ
        del fh
        for columns in fisher.chunks(weighted, 2 * len(weighted)):
            # Rounded before, a subtraction takes a third of the time.
            product = self._combination(j[:, columns]).to(dtype)  # H Jᵀ, (KD, n)
            weighted[:, columns] -= product
            weighted[columns] -= product.mT
        return weighted

    def _combination(self, coefficients: Tensor) -> Tensor:
        """H X, ``(KD, s)``, of X ``(m, s)``."""
        num_rows, rank = len(self.features), self.factors.shape[-1]
        by_row = coefficients.unflatten(0, (num_rows, rank))  # (m / r, r, s)
        return fisher.combination(self.features, self.factors, by_row)


class DenseInverse(NamedTuple):
    """M⁻¹ as a matrix, without the part that acts on what all classes share.

    For K > 1 the columns of every factor add up to 0 over the classes, as gradients of a softmax
    do. So no V Vᵀ has that part.

    Attributes:
        matrix: ``(KD, KD)``, float64.
    """

    matrix: Tensor

    def times(self, v: Tensor) -> Tensor:
        """M⁻¹ V, ``(KD, s)``, of V in float64."""
        return self.matrix @ v

    def dense(self) -> Tensor:
        """A copy of M⁻¹ as a matrix, ``(KD, KD)``."""
        return self.matrix.clone()

    def quadratic_forms(self, features: Rows, factors: Tensor) -> Tensor:
        """Vᵀ M⁻¹ V, ``(N, r, r)``, in the dtype of the features."""
        return fisher.quadratic_forms(features, factors, self.matrix.to(features.dtype))

    def weighted(self, mean_information: Tensor) -> Tensor:
        """M⁻¹ F M⁻¹, ``(KD, KD)``, in the dtype of F."""
        # In float32, rounding would leave F a share of the directions in which M is λI alone.
        product = torch.empty_like(self.matrix)  # F M⁻¹
        for rows in fisher.chunks(product, 2 * len(product)):
            torch.mm(mean_information[rows].double(), self.matrix, out=product[rows])
        weighted = torch.empty_like(mean_information)
        for rows in fisher.chunks(product, 2 * len(product)):
            weighted[rows] = self.matrix[rows] @ product
        return weighted


Inverse = LowRankInverse | DenseInverse


def invert(features: Tensor, factors: Tensor, lmbda: float) -> Inverse:
    """M⁻¹ for M = λI + Σ V Vᵀ.

    Args:
        features: Of the examples in M, ``(L, D)``; L may be 0.
        factors: Scaled as they count in M, ``(L, K, r)``; for K > 1, columns that add up to 0 over
            the classes, as those of :mod:`dal.functional.fisher` do.
        lmbda: λ.

    Example:
        >>> inverse = invert(torch.tensor([[1.0, 0.0]]), torch.ones(1, 1, 1), lmbda=1.0)
        >>> inverse.quadratic_forms(torch.eye(2), torch.ones(2, 1, 1)).flatten()
        tensor([0.5000, 1.0000])
    """
    features, factors = features.double(), factors.double()
    num_classes, rank = factors.shape[1:]
    if is_low_rank(features.shape[1], num_classes, len(features) * rank):
        g = fisher.gram(features, factors)  # (m, m)
        g.diagonal().add_(lmbda)
        return LowRankInverse(lmbda, features, factors, positive_cholesky(g))
    m = fisher.information((features, factors))  # (KD, KD)
    m.diagonal().add_(lmbda)
    cholesky = positive_cholesky(m)
    del m
    inverse = torch.cholesky_inverse(cholesky)
    if num_classes > 1:
        # What all classes share: there M is λI, far above all other inverse eigenvalues on features
        # of large norm, and no V has a part of it but rounding.
        by_class = inverse.view(num_classes, -1, num_classes, features.shape[1])  # (K, D, K, D)
        by_class -= by_class.mean(0, keepdim=True)
        by_class -= by_class.mean(2, keepdim=True)
    return DenseInverse(inverse)


def is_low_rank(num_features: int, num_classes: int, num_columns: int) -> bool:
    """Whether M is inverted by its m columns: up to about there that is faster.

    With as many columns as there are dimensions, (K − 1) D of them for K > 1, what they leave of
    the identity would be rounding alone.

    Example:
        >>> is_low_rank(384, num_classes=1, num_columns=10), is_low_rank(384, 1, 400)
        (True, False)
    """
    return 4 * num_columns < 3 * num_features * max(1, num_classes - 1)


def positive_cholesky(matrix: Tensor) -> Tensor:
    """Lower Cholesky factor of a matrix that is positive definite but for its rounding.

    Beyond a condition number of 1e16 (features of norm 1e8) rounding can make such a matrix
    indefinite. Its smallest eigenvalues are unknown then, and are lifted to the size of the
    rounding error: at most n ε times the largest entry on the diagonal.

    Args:
        matrix: ``(n, n)``, symmetric; its diagonal may be changed.

    Example:
        >>> positive_cholesky(torch.tensor([[4.0, 2.0], [2.0, 2.0]]))
        tensor([[2., 0.],
                [1., 1.]])
    """
    cholesky: Tensor
    cholesky, info = torch.linalg.cholesky_ex(matrix)
    if info:
        error = 2 * len(matrix) * torch.finfo(matrix.dtype).eps
        matrix.diagonal().add_(error * matrix.diagonal().max())
        cholesky, _ = torch.linalg.cholesky_ex(matrix)
    return cholesky


def inverse_root(matrix: Tensor) -> Tensor:
    """G with G Gᵀ = A⁻¹ for a small positive definite A.

    Args:
        matrix: A, ``(r, r)``.

    Example:
        >>> inverse_root(torch.tensor([[4.0]]))
        tensor([[0.5000]])
    """
    if len(matrix) == 1:  # in a loop, the general way takes longer than all else
        return matrix.clamp_min(torch.finfo(matrix.dtype).tiny).rsqrt()
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    cholesky = positive_cholesky(matrix.clone())
    inverse: Tensor = torch.linalg.solve_triangular(cholesky, identity, upper=False)
    return inverse.mT
