"""The paper's head: one linear layer on frozen features."""

from torch import nn

from dal.heads.head import (
    DEFAULT_OPTIMIZER,
    DEFAULT_SCHEDULER,
    Head,
    MakeOptimizer,
    MakeScheduler,
)


class LinearHead(Head):
    """A linear layer with bias.

    The defaults are the paper's (section 6.1): RAdam with learning rate 0.2 and weight decay 1e-4,
    cosine annealing over 200 epochs with one step for each epoch.

    Args:
        num_features: D.
        num_classes: K.
        optimizer: Makes the optimizer of the parameters.
        scheduler: Makes the schedule of its learning rate; see :class:`Head`.
        prior_precision: λ of the posterior; see :class:`Head`.
    """

    network: nn.Linear

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        optimizer: MakeOptimizer = DEFAULT_OPTIMIZER,
        scheduler: MakeScheduler = DEFAULT_SCHEDULER,
        prior_precision: float = 1.0,
    ) -> None:
        super().__init__(
            num_features, num_classes, linear_network, optimizer, scheduler, prior_precision
        )


def linear_network(num_features: int, num_classes: int) -> nn.Linear:
    """A linear layer from D features to K logits."""
    return nn.Linear(num_features, num_classes)
