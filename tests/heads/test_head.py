"""The contract of a head: embeddings, posterior, and networks of one's own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from dal.data import ALDataModule
from dal.errors import ConfigError
from dal.heads import MLP, Head, LinearHead
from dal.runtime.trainers import quiet_lightning
from tests import reference


class OfMyOwn(nn.Module):
    """A network whose last layer is not the end of a Sequential."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features, 4)
        self.last_layer = nn.Linear(4, num_classes)

    def embed(self, features: Tensor) -> Tensor:
        embeddings: Tensor = self.hidden(features).tanh()
        return embeddings

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.last_layer(self.embed(features))
        return logits


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": partial(MLP, hidden_size=5),
    "deep": partial(MLP, hidden_size=16, num_hidden=3, dropout=0.2),
    "own": OfMyOwn,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_of_the_embeddings_gives_the_logits(name: str) -> None:
    head = Head(6, 3, network=NETWORKS[name]).eval()
    features = torch.randn(7, 6)
    assert isinstance(head.last_layer, nn.Linear)
    assert torch.equal(head.last_layer(head.embed(features)), head(features))


def test_a_linear_head_embeds_by_identity() -> None:
    features = torch.randn(7, 6)
    head = LinearHead(6, 3)
    assert head.embed(features) is features
    assert head.last_layer is head.network


@pytest.mark.parametrize("name", NETWORKS)
def test_any_network_learns(
    name: str, blobs: Callable[..., ALDataModule], cpu_trainer: Callable[..., L.Trainer]
) -> None:
    data = blobs()
    data.setup()
    data.label(data.pool.unlabeled_indices[:60])
    head = Head(6, 3, NETWORKS[name], optimizer=partial(torch.optim.Adam, lr=0.02))
    with quiet_lightning():
        before = cpu_trainer().test(head, data.eval_dataloader("test"), verbose=False)[0]
        cpu_trainer(max_epochs=40).fit(head, datamodule=data)
        after = cpu_trainer().test(head, data.eval_dataloader("test"), verbose=False)[0]
    assert after["nll"] < before["nll"]
    assert after["accuracy"] > 0.5


def test_samples_have_the_moments_of_the_posterior() -> None:
    torch.manual_seed(0)  # of the network, which can map all features to zero
    head = Head(6, 3, NETWORKS["mlp"], prior_precision=0.5).eval()
    generator = torch.Generator().manual_seed(0)
    labeled, features = (torch.randn(n, 6, generator=generator) for n in (9, 4))
    with torch.no_grad():
        head.fit_posterior(labeled)
        samples = head.sample(features, 20_000, generator)
        assert samples.shape == (20_000, 4, 3)
        deviations = reference.logit_deviations(
            head.embed(features), head.embed(labeled), head(labeled).softmax(1), 0.5
        )
        torch.testing.assert_close(samples.mean(0), head(features), atol=0.05, rtol=0)
        for row, deviation in enumerate(deviations):
            std = samples[:, row].std(0)
            torch.testing.assert_close(std, torch.full((3,), deviation), rtol=0.03, atol=0)
        functions = head.sample_functions(20_000, generator)(features)
        torch.testing.assert_close(functions.mean(0), head(features), atol=0.05, rtol=0)
        # Rows of one class share their weights, with the covariance zᵀ Σ z'; classes share none.
        p_hat = head(labeled).softmax(1).amax(1)
        z, z_labeled = head.embed(features), head.embed(labeled)
        precision = 0.5 * torch.eye(5) + z_labeled.mT @ torch.diag(p_hat - p_hat**2) @ z_labeled
        expected = z @ torch.linalg.inv(precision) @ z.mT  # (4, 4)
        for k in range(3):
            found = functions[:, :, k].mT.cov()
            torch.testing.assert_close(found, expected, rtol=0, atol=0.05 * expected.max().item())
        assert abs(functions[:, 0].mT.corrcoef() - torch.eye(3)).max() < 0.03
        again = torch.Generator().manual_seed(1)
        first = head.sample(features, 2, again)
        assert torch.equal(head.sample(features, 2, again.manual_seed(1)), first)


def test_without_labels_the_posterior_is_the_prior() -> None:
    head = LinearHead(2, 3, prior_precision=4.0)
    with torch.no_grad():
        head.fit_posterior(torch.empty(0, 2))
        samples = head.sample(torch.tensor([[3.0, 4.0]]), 20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(samples.std(0), torch.full((1, 3), 2.5), rtol=0.03, atol=0)


def test_samples_need_a_posterior() -> None:
    with pytest.raises(RuntimeError, match="call of fit_posterior"):
        LinearHead(2, 2).sample(torch.zeros(1, 2), 1, torch.Generator())
    with pytest.raises(RuntimeError, match="call of fit_posterior"):
        LinearHead(2, 2).sample_functions(1, torch.Generator())


def test_a_sample_of_some_rows_is_the_one_of_all() -> None:
    head = LinearHead(4, 3)
    with torch.no_grad():
        head.fit_posterior(torch.randn(5, 4))
        features = torch.randn(6, 4)
        whole = head.sample(features, 7, torch.Generator().manual_seed(0))
        part = head.sample(features[2:4], 7, torch.Generator().manual_seed(0))
    torch.testing.assert_close(part, whole[:, 2:4])


class Quadratic(nn.Module):
    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_features, num_classes))

    def forward(self, features: Tensor) -> Tensor:
        return features.square() @ self.weight


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Quadratic, "whose last layer is linear, got Quadratic: end its Sequential with a Linear"),
        (lambda **_: nn.Sequential(nn.Linear(2, 3), nn.ReLU()), "last layer is linear"),
        (lambda **_: nn.Sequential(), "last layer is linear"),
        (lambda **_: nn.Linear(2, 5), r"to logits \(0, 3\), got \(0, 5\)"),
        (nn.Linear, "The network of the head cannot be made"),
        (partial(MLP, hidden_size=0), "`hidden_size` of at least 1, got 0"),
        (partial(MLP, num_hidden=0), "`num_hidden` of at least 1, got 0"),
        (partial(MLP, dropout=1.0), r"`dropout` in \[0, 1\), got 1"),
    ],
)
def test_networks_that_are_no_head_are_refused(network: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Head(2, 3, network)


def test_a_prior_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="`prior_precision` above 0, got 0"):
        LinearHead(2, 2, prior_precision=0)
