"""A frozen text network: tokens of a text, made in worker processes, to features."""

import inspect
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dal.errors import ConfigError, DataError, did_you_mean
from dal.extraction import encoder, weights
from dal.extraction.encoder import Encoder
from dal.extraction.texts import pooling, published
from dal.extraction.texts.published import Published
from dal.extraction.texts.reader import TextReader
from dal.extraction.weights import Weights
from dal.runtime.files import LocalFiles

OUTPUTS = {
    "mean": "mean of the tokens",
    "cls": "first token",
    "pooler": "pooled output",
    "max": "maximum of the tokens",
    "mean_sqrt_len_tokens": "sum of the tokens by the root of their number",
    "weightedmean": "weighted mean of the tokens",
    "lasttoken": "last token",
}
DEFAULT_LENGTH = 512  # tokens, where neither network nor tokenizer has a limit: that of BERT
NO_LIMIT = 10**6  # tokens; tokenizers without a limit say 10^30

# Of the tokenizer, and of sentence-transformers.
OTHER_FILES = ("*.json", "*.txt", "*.model", "[0-9]_*/*")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")  # one of them, at least


class TextEncoder(Encoder):
    """Tokens to features.

    Args:
        model: A transformers model that takes ``input_ids``.
        reader: Makes them.
        outputs: ``"pooler"``, or poolings; several are joined.
        layers: What comes after that.
        normalize: Whether features are scaled to length 1 in the end.
        origin: Where this is from, in words, if the user has not given it.
        unused: Names of weights that no feature depends on.
    """

    reader: TextReader

    def __init__(
        self,
        model: nn.Module,
        reader: TextReader,
        outputs: Sequence[str],
        layers: nn.Sequential,
        normalize: bool,
        origin: str = "",
        unused: Collection[str] = (),
    ) -> None:
        super().__init__(reader)
        self.model = model
        self.outputs = tuple(outputs)
        self.layers = layers
        self.normalize = normalize
        self.origin = origin
        self.unused = unused

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Features ``(N, D)``, float32, of tokens ``(N, T)``."""
        with encoder.autocast(batch["input_ids"].device):
            outputs = self.model(**batch)
        if self.outputs == ("pooler",):
            features = cast(Tensor, outputs.pooler_output.float())
        else:
            hidden, mask = outputs.last_hidden_state.float(), batch["attention_mask"]
            features = torch.cat([pooling.pooled(one, hidden, mask) for one in self.outputs], 1)
        features = self.layers(features)
        return nn.functional.normalize(features, dim=1) if self.normalize else features

    def description(self) -> dict[str, Any]:
        """A hash of the weights and of the tokenizer, and the settings."""
        return {
            "weights": weights.content_hash(self.model, self.unused),
            **self.reader.description(),
            "output": list(self.outputs),
            "normalize": self.normalize,
            **({"layers": self._layers()} if len(self.layers) else {}),
        }

    def summary(self) -> str:
        """What happens to a text, and to the network's output, in a sentence."""
        steps = [str(self.reader), " and ".join(OUTPUTS[output] for output in self.outputs)]
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        steps += [f"dense layer to D {layer.out_features}" for layer in linear]
        steps += ["scaled to length 1"] if self.normalize else []
        origin = f" ({self.origin})" if self.origin else ""
        return f"texts{origin}: {', '.join(steps)}."

    def _layers(self) -> list[str]:
        return [*(type(layer).__name__ for layer in self.layers), weights.state_hash(self.layers)]


class TextBackbone:
    """A frozen text network of the transformers library.

    What is not given is as the files of sentence-transformers beside the weights say, if there are
    any.

    Args:
        id: Its name on the hub, ``owner/name``.
        revision: The commit there, or a branch or tag.
        weights: A folder that ``save_pretrained``, sentence-transformers or ``hf download`` has
            written, instead.
        output: ``"mean"`` of the tokens of ``last_hidden_state``, the default; ``"cls"``, the first
            of them; ``"pooler"``, the network's ``pooler_output``; or another pooling of
            sentence-transformers: ``"max"``, ``"mean_sqrt_len_tokens"``, ``"weightedmean"``,
            ``"lasttoken"``.
        normalize: Whether features are scaled to length 1.
        max_length: The number of tokens to which texts are cut, special ones included; what
            tokenizer and network take at most, if not given.
        prefix: Is put before each text, as ``"query: "`` for E5.
        architecture: The class of transformers that loads it.

    Raises:
        ConfigError: If neither ``id`` nor ``weights`` is given, or another argument is not as
            expected.

    References:
        Reimers & Gurevych (2019), "Sentence-BERT: sentence embeddings using Siamese BERT-networks".
    """

    noun = "text"

    def __init__(
        self,
        id: str | None = None,  # noqa: A002
        revision: str = "main",
        weights: str | Path | None = None,
        output: str | None = None,
        normalize: bool | None = None,
        max_length: int | None = None,
        prefix: str | None = None,
        architecture: str = "AutoModel",
    ) -> None:
        if output is not None and output not in OUTPUTS:
            raise ConfigError(f"Unknown `output` '{output}'. {did_you_mean(output, OUTPUTS)}")
        if normalize is not None and not isinstance(normalize, bool):
            raise ConfigError(f"Expected `normalize` to be true or false, got {normalize!r}.")
        if max_length is not None and (type(max_length) is not int or max_length < 1):
            raise ConfigError(f"Expected a `max_length` of at least 1 token, got {max_length!r}.")
        if prefix is not None and not isinstance(prefix, str):
            raise ConfigError(f"Expected `prefix` to be a text, got {prefix!r}.")
        self.weights = Weights(id, revision, weights, architecture, OTHER_FILES)
        self.output = output
        self.normalize = normalize
        self.max_length = max_length
        self.prefix = prefix

    def request(self) -> dict[str, Any]:
        """The names on the hub or the path, and what is given."""
        return {
            **self.weights.request(),
            "output": self.output,
            "normalize": self.normalize,
            "max_length": self.max_length,
            "prefix": self.prefix,
            "architecture": self.weights.architecture,
        }

    def local_files(self) -> list[LocalFiles]:
        """The files of weights and tokenizer, if they are the user's own and exist."""
        return self.weights.local_files()

    def load(self) -> TextEncoder:
        """The network on the CPU, float32, in evaluation mode.

        Raises:
            DataError: If the files are neither on this machine nor can be downloaded, are damaged,
                or have no such output.
            ConfigError: If transformers has no such architecture, or the network takes fewer than
                ``max_length`` tokens.
        """
        folder = self.weights.find()
        own = published.read(folder)
        if own.unsupported and (self.output is None or self.normalize is None):
            raise DataError(
                f"Cannot use {folder / published.MODULES}: {own.unsupported} is not supported. "
                "Choose without it, for example backbone.output=mean backbone.normalize=false."
            )
        model, missing = self.weights.load(own.folder)
        self._check_kind(model)
        outputs = (self.output,) if self.output else own.outputs or ("mean",)
        others = "Choose backbone.output=mean or backbone.output=cls."
        weights.check_complete(
            self.weights.name, model, missing, others if outputs == ("pooler",) else ""
        )
        # The layers were trained for the poolings before them.
        layers = nn.Sequential() if self.output else own.layers
        is_own = (folder / published.MODULES).is_file()
        loaded = TextEncoder(
            model,
            self._reader(folder / own.folder, model, own),
            outputs,
            layers,
            own.normalize if self.normalize is None else self.normalize,
            f"what is not given as in its {published.MODULES}" if is_own else "",
            missing,
        )
        self._check_output(loaded)
        return loaded

    def _reader(self, folder: Path, model: nn.Module, own: Published) -> TextReader:
        tokenizer = self._tokenizer(folder)
        backend = tokenizer.backend_tokenizer
        num_known = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings  # type: ignore[operator]
        num_tokens = backend.get_vocab_size(with_added_tokens=False)
        if num_tokens > num_known:
            raise DataError(
                f"The tokenizer in {folder} has {num_tokens:,} tokens, the network "
                f"knows {num_known:,}: they are not of one model. Copy the folder again."
            )
        if own.lower:
            from tokenizers.normalizers import Lowercase, Sequence

            others = [] if backend.normalizer is None else [backend.normalizer]
            backend.normalizer = Sequence([Lowercase(), *others])
        return TextReader(
            backend,
            self._length(model, tokenizer.model_max_length, own.max_length),
            own.prefix if self.prefix is None else self.prefix,
            tokenizer.pad_token_id or 0,
            "token_type_ids" in tokenizer.model_input_names
            and "token_type_ids" in inspect.signature(model.forward).parameters,
            tokenizer.truncation_side,
        )

    def _tokenizer(self, folder: Path) -> Any:
        # Without them, the library would make a tokenizer that knows nothing.
        if not any(file for name in TOKENIZERS for file in folder.glob(name)):
            raise DataError(
                f"Expected the files of a tokenizer beside the weights in {folder}, for example "
                "tokenizer.json, found none. Copy them there, too: a tokenizer has a "
                "save_pretrained of its own."
            )
        import transformers

        try:
            with weights.quiet_library():
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    str(folder), local_files_only=True
                )
        except Exception as error:  # of json, tokenizers and transformers
            first_line = str(error).strip().splitlines()[0] if str(error) else repr(error)
            raise DataError(f"Cannot load the tokenizer in {folder}: {first_line}.") from error
        if not getattr(tokenizer, "is_fast", False):
            raise DataError(
                f"Expected a fast tokenizer in {folder}, got {type(tokenizer).__name__}. Expected "
                "a tokenizer.json, as the save_pretrained of a fast tokenizer writes it."
            )
        return tokenizer

    def _length(self, model: nn.Module, of_tokenizer: int, published_length: int | None) -> int:
        positions = _num_positions(model)
        if self.max_length is not None:
            if positions is not None and self.max_length > positions:
                raise ConfigError(
                    f"Expected a `max_length` of at most {positions}, the number of tokens that "
                    f"{self.weights.name} takes, got {self.max_length}."
                )
            return self.max_length
        known = [length for length in (positions, published_length) if length is not None]
        if published_length is None and of_tokenizer < NO_LIMIT:
            known.append(of_tokenizer)
        return min(known, default=DEFAULT_LENGTH)

    def _check_kind(self, model: nn.Module) -> None:
        kind, kinds = type(model).__name__, encoder.reads(model)
        if kinds == {"image"}:
            raise DataError(
                f"Expected a network for texts, got {self.weights.name} ({kind}), which reads "
                "images. For images choose for example backbone=transformers."
            )
        if "image" in kinds:
            raise DataError(
                f"The network {self.weights.name} ({kind}) has a part for images and one for "
                "texts: take the second with backbone.architecture="
                f"{kind.removesuffix('Model')}TextModel."
            )

    def _check_output(self, loaded: TextEncoder) -> None:
        try:
            with torch.no_grad():
                features = loaded(loaded.reader.collate([loaded.reader.read("text")]))
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            kind = type(loaded.model).__name__
            advice = "Try another backbone.output or backbone.architecture."
            if getattr(loaded.model.config, "is_encoder_decoder", False):
                name = kind.removesuffix("Model")
                advice = f"Take its encoder alone: backbone.architecture={name}EncoderModel."
            outputs = " and ".join(loaded.outputs)
            raise DataError(
                f"The network {self.weights.name} ({kind}) has no `{outputs}` output for texts: "
                f"{str(error).rstrip('.')}. {advice}"
            ) from error
        if features.ndim != 2:
            raise DataError(
                f"Expected a vector for each text from the network {self.weights.name}, got an "
                f"output of shape {tuple(features.shape)}. Try another backbone.output or "
                "backbone.architecture."
            )


def _num_positions(model: nn.Module) -> int | None:
    """The number of tokens that a network takes, if it has a limit."""
    for name, module in model.named_modules():
        is_table = isinstance(module, nn.Embedding) and name.endswith("position_embeddings")
        if is_table and module.padding_idx is not None:  # RoBERTa counts from the one after it
            return int(module.num_embeddings) - int(module.padding_idx) - 1
    num: Any = getattr(model.config, "max_position_embeddings", None)
    return num if isinstance(num, int) and num > 0 else None
