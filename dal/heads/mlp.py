"""A multilayer perceptron, for ``Head(network=...)``."""

from torch import nn

from dal.errors import ConfigError


class MLP(nn.Sequential):
    """Hidden layers with ReLU and dropout, then a linear layer.

    Args:
        num_features: D.
        num_classes: K.
        hidden_size: Width of each hidden layer, E; what BAIT and BADGE take as embeddings.
        num_hidden: Number of hidden layers.
        dropout: Probability with which a hidden unit is dropped in a fit, in [0, 1).

    Raises:
        ConfigError: If a number is out of range.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        hidden_size: int = 256,
        num_hidden: int = 1,
        dropout: float = 0.0,
    ) -> None:
        if hidden_size < 1:
            raise ConfigError(f"Expected `hidden_size` of at least 1, got {hidden_size}.")
        if num_hidden < 1:
            raise ConfigError(f"Expected `num_hidden` of at least 1, got {num_hidden}.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"Expected `dropout` in [0, 1), got {dropout}.")
        layers: list[nn.Module] = []
        width = num_features
        for _ in range(num_hidden):
            layers += [nn.Linear(width, hidden_size), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden_size
        super().__init__(*layers, nn.Linear(width, num_classes))
