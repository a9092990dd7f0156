"""The Laplace approximation of a last layer's posterior, with one covariance for all classes.

With embeddings z in R^D (the inputs of the last layer) and p̂ the highest class probability of each
of the L labeled examples, the posterior of every class's weights is a normal distribution with the
fitted weights as its mean and the covariance

    Σ = (λI + Σ_L p̂ (1 − p̂) z zᵀ)⁻¹,

so that a logit of an example has the standard deviation √(zᵀ Σ z). The bias takes no part.
Classes are independent, examples are not: their logits share the weights.

References:
    MacKay (1992), "The evidence framework applied to classification networks".
    Kristiadi et al. (2020), "Being Bayesian, even just a bit, fixes overconfidence in ReLU
    networks", section 3.
"""

import torch
from torch import Tensor


def precision_factor(embeddings: Tensor, probs: Tensor, prior_precision: float = 1.0) -> Tensor:
    """Lower Cholesky factor C of the precision, C Cᵀ = Σ⁻¹, in float64.

    Args:
        embeddings: z of the labeled examples, ``(L, D)``; L may be 0.
        probs: Their class probabilities, ``(L, K)``.
        prior_precision: λ > 0.

    Returns:
        ``(D, D)``, float64, on the device of ``embeddings``.

    Raises:
        ValueError: If λ is not positive.

    Example:
        >>> precision_factor(torch.tensor([[2.0]]), torch.tensor([[0.5, 0.5]]), 3.0)
        tensor([[2.]], dtype=torch.float64)
    """
    if prior_precision <= 0:
        raise ValueError(f"Expected `prior_precision` above 0, got {prior_precision}.")
    z, highest = embeddings.double(), probs.double().amax(-1)
    precision = z.mT @ (z * (highest * (1 - highest))[:, None])  # (D, D)
    precision.diagonal().add_(prior_precision)
    factor: Tensor = torch.linalg.cholesky(precision)
    return factor


def logit_deviations(embeddings: Tensor, factor: Tensor) -> Tensor:
    """Standard deviation √(zᵀ Σ z) of the logits of each row.

    Args:
        embeddings: z, ``(N, D)``.
        factor: C of :func:`precision_factor`, ``(D, D)``.

    Returns:
        ``(N,)``, in the dtype of ``embeddings``.

    Example:
        >>> logit_deviations(torch.tensor([[4.0]]), torch.tensor([[2.0]], dtype=torch.float64))
        tensor([2.])
    """
    # zᵀ Σ z = ‖C⁻¹ z‖², which rounding cannot make negative.
    solved = torch.linalg.solve_triangular(factor, embeddings.double().mT, upper=False)  # (D, N)
    deviations: Tensor = torch.linalg.vector_norm(solved, dim=0)
    return deviations.to(embeddings.dtype)


def weight_deviations(
    factor: Tensor, num: int, num_classes: int, generator: torch.Generator
) -> Tensor:
    """Draws of the last layer's weights from the posterior, as deviations from the fitted ones.

    With C Cᵀ = Σ⁻¹ and standard normal ε, C⁻ᵀ ε has the covariance C⁻ᵀ C⁻¹ = Σ.

    Args:
        factor: C of :func:`precision_factor`, ``(D, D)``.
        num: Number of draws, S.
        num_classes: K.
        generator: The randomness; on the CPU.

    Returns:
        ``(S, D, K)``, float32, on the device of ``factor``.

    Memory: 12·S·D·K bytes.

    Example:
        >>> factor = torch.tensor([[2.0]], dtype=torch.float64)
        >>> draws = weight_deviations(factor, 9999, 1, torch.Generator().manual_seed(0))
        >>> draws.shape, round(draws.std().item(), 2)
        (torch.Size([9999, 1, 1]), 0.5)
    """
    noise = torch.randn(num, len(factor), num_classes, generator=generator).to(factor)
    flat = noise.movedim(1, 0).reshape(len(factor), -1)  # (D, S K): one system for all draws
    solved: Tensor = torch.linalg.solve_triangular(factor.mT, flat, upper=True)
    return solved.reshape(-1, num, num_classes).movedim(0, 1).contiguous().float()
