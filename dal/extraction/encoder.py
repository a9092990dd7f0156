"""The contract of a frozen network: how an item becomes its input, and the input features.

A kind of items (images, texts) is one package: a reader, an encoder, and a network that loads it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dal.runtime.files import LocalFiles


class Reader(Protocol):
    """Turns encoded items into a network's input. Worker processes do it: it is pickled."""

    def read(self, item: Any) -> Any:
        """An item, decoded. What it raises is shown to the user, with the item's name."""

    def collate(self, decoded: Sequence[Any]) -> Any:
        """The batch of some decoded items, at least one: a tensor, or a mapping of tensors."""


@runtime_checkable
class LengthReader(Reader, Protocol):
    """Reads items of different lengths, which a batch fills up to the longest.

    The items of a part are read at once, and those of similar lengths are batched.

    Attributes:
        limit: The longest that the network takes, in words, for example ``"256 tokens"``.
    """

    limit: str

    def length(self, decoded: Any) -> int:
        """The length of a decoded item, cut to the limit."""

    def is_cut(self, decoded: Any) -> bool:
        """Whether the item was longer than the limit."""


class Encoder(nn.Module, ABC):
    """A loaded network, with the reader of its input.

    Args:
        reader: Makes the batches that :meth:`forward` takes.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    @abstractmethod
    def forward(self, batch: Any) -> Tensor:
        """Features ``(N, D)``, float32, of a batch of the reader, on the batch's device.

        It is computed in the :func:`precision` of the device.
        """

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Plain values that change when any feature does: a hash of the weights, and settings."""

    def summary(self) -> str:
        """What happens to an item before the network, in a sentence; empty if nothing does."""
        return ""


class Network(Protocol):
    """A frozen network that is not loaded yet: features in the cache are found without it.

    Attributes:
        noun: What it reads, as :attr:`Items.noun <dal.extraction.items.Items>`.
    """

    noun: str

    def request(self) -> dict[str, Any]:
        """What identifies it to the user, in plain values, without a look at the weights."""

    def local_files(self) -> list[LocalFiles]:
        """The user's own files that the weights are read from, those of them that exist."""

    def load(self) -> Encoder:
        """The network on the CPU, in evaluation mode.

        Raises:
            DataError: If the weights are neither on this machine nor can be downloaded, or cannot
                be used.
        """


def precision(device: torch.device) -> str:
    """The type in which a network is computed on a device, ``"bf16"`` or ``"float32"``."""
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has_bf16 else "float32"


def autocast(device: torch.device) -> torch.autocast:
    """The context in which a network is computed, in the :func:`precision` of the device."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision(device) == "bf16")


def reads(model: nn.Module) -> set[str]:
    """What a model of the transformers library reads: ``"image"``, ``"text"`` and others."""
    modalities: str | Sequence[str] = getattr(model, "input_modalities", ())
    return {modalities} if isinstance(modalities, str) else set(modalities)
