"""The reader of texts: from a string to the tokens that a network takes."""

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dal.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Tokens(NamedTuple):
    """A text as tokens.

    Attributes:
        ids: ``(T,)``, with the special tokens.
        types: ``(T,)``, which of several texts each token is of.
        is_cut: Whether the text has more.
    """

    ids: np.ndarray
    types: np.ndarray
    is_cut: bool


class TextReader:
    """Turns texts into tokens.

    Args:
        tokenizer: Of the ``tokenizers`` library.
        max_length: The number of tokens to which texts are cut, special ones included.
        prefix: Is put before each text.
        pad_id: The token with which a batch is filled up; the network does not see it.
        has_types: Whether the network takes the types of the tokens.
        side: Which end of a text is cut off, ``"right"`` or ``"left"``.

    Raises:
        ConfigError: If nothing of a text fits into ``max_length``.
    """

    def __init__(
        self,
        tokenizer: "Tokenizer",
        max_length: int,
        prefix: str = "",
        pad_id: int = 0,
        has_types: bool = False,
        side: str = "right",
    ) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.prefix = prefix
        # Of a text in which the tokenizer finds nothing. White space may become a part of a token.
        self.num_fixed = len(tokenizer.encode(prefix.strip()).ids)
        if max_length <= self.num_fixed:
            raise ConfigError(
                f"Expected a `max_length` above {self.num_fixed}, the number of special tokens and "
                f"of those of `prefix`, got {max_length}."
            )
        self.digest = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
        tokenizer.enable_truncation(max_length, direction=side)
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.pad_id = pad_id
        self.has_types = has_types

    @property
    def limit(self) -> str:
        """The longest text that the network takes, in words."""
        return f"{self.max_length} tokens"

    def read(self, item: object) -> Tokens:
        """The tokens of a text.

        Raises:
            DataError: If it is no text, or has nothing that could be read.
        """
        if not isinstance(item, str):
            raise DataError(f"expected a text, got {'nothing' if item is None else repr(item)}")
        if not item or item.isspace():
            raise DataError("the text is white space only" if item else "the text is empty")
        try:
            encoding = self.tokenizer.encode(self.prefix + item)
        except TypeError as error:  # half of a surrogate pair, which is no character
            raise DataError("the text is not valid Unicode") from error
        if len(encoding.ids) <= self.num_fixed:
            raise DataError("the tokenizer finds nothing in the text")
        return Tokens(
            np.array(encoding.ids, np.int32),
            np.array(encoding.type_ids, np.int32),
            bool(encoding.overflowing),
        )

    def length(self, decoded: Tokens) -> int:
        """The number of tokens, those that were cut off left out."""
        return len(decoded.ids)

    def is_cut(self, decoded: Tokens) -> bool:
        """Whether the text has more tokens."""
        return decoded.is_cut

    def collate(self, decoded: Sequence[Tokens]) -> dict[str, Tensor]:
        """The arguments of the network: ``(N, T)`` each, int64, filled up at the end.

        At the end for every network, so that no token's position depends on the other texts.
        """
        longest = max(len(tokens.ids) for tokens in decoded)
        ids = np.full((len(decoded), longest), self.pad_id, np.int64)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        for row, tokens in enumerate(decoded):
            num = len(tokens.ids)
            ids[row, :num], types[row, :num], mask[row, :num] = tokens.ids, tokens.types, 1
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if self.has_types:
            batch["token_type_ids"] = torch.from_numpy(types)
        return batch

    def description(self) -> dict[str, object]:
        """Plain values that change when any token may."""
        return {"tokenizer": self.digest, "max_length": self.max_length, "prefix": self.prefix}

    def __str__(self) -> str:
        prefix = f"prefix {json.dumps(self.prefix)}, " if self.prefix else ""
        return f"{prefix}at most {self.limit}"
