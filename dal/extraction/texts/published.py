"""How a text network was published to be used: the files of sentence-transformers beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dal.errors import DataError
from dal.extraction.texts.pooling import POOLINGS

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
LENGTHS = "sentence_*_config.json"

# The keys of earlier versions of 1_Pooling/config.json.
OLD_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS = (
    "Identity",
    "Tanh",
    "ReLU",
    "GELU",
    "SiLU",
    "Sigmoid",
)  # of torch.nn, without options


@dataclass(frozen=True)
class Published:
    """What the files say; the defaults are those of a folder that has none of them.

    Attributes:
        folder: Where the network itself is.
        outputs: Poolings, whose results are joined; empty if the files do not say.
        layers: What comes after the pooling.
        normalize: Whether features are scaled to length 1 in the end.
        max_length: The number of tokens to which texts are cut, if they say.
        lower: Whether texts become lower case.
        prefix: Is put before each text.
        unsupported: What they ask for and this package does not have; empty if it has all.
    """

    folder: str = ""
    outputs: tuple[str, ...] = ()
    layers: nn.Sequential = field(default_factory=nn.Sequential)
    normalize: bool = False
    max_length: int | None = None
    lower: bool = False
    prefix: str = ""
    unsupported: str = ""


def read(folder: Path) -> Published:
    """What the files in a folder say.

    Raises:
        DataError: If one of them cannot be read.
    """
    if not (folder / MODULES).is_file():
        return Published()
    try:
        return _read(folder)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(
            f"Cannot use {folder / MODULES} and the files that it names: {error!r}. Give "
            "backbone.weights a complete copy of the folder."
        ) from error


def _read(folder: Path) -> Published:
    modules = [
        (str(module["type"]).rpartition(".")[2], str(module["path"]))
        for module in _json(folder / MODULES)
    ]
    kinds = [kind for kind, _ in modules]
    if kinds[:1] != ["Transformer"]:
        return Published(unsupported=f"the module {kinds[0]} in the place of Transformer")
    transformer = modules[0][1]
    lengths = [_json(file) for file in sorted((folder / transformer).glob(LENGTHS))]
    sizes: Mapping[str, Any] = lengths[0] if lengths else {}
    settings = _json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    prefix = (settings.get("prompts") or {}).get(settings.get("default_prompt_name")) or ""
    outputs: tuple[str, ...] = ()
    layers = nn.Sequential()
    unsupported = ""
    for place, (kind, path) in enumerate(modules[1:], 1):
        file = folder / path / "config.json"
        options = _json(file) if path and file.is_file() else {}
        if kind == "Pooling" and place == 1:
            outputs = _poolings(options)
            if prefix and not options.get("include_prompt", True):
                unsupported = "pooling without the prompt"
        elif kind == "Dense" and outputs and not options.get("use_residual"):
            layers.extend(_dense(folder / path, options))
        elif kind == "Normalize" and place == len(modules) - 1:
            continue
        elif kind != "Dropout":  # which does nothing after training
            unsupported = f"the module {kind} at place {place}"
        if unsupported:
            break
    return Published(
        transformer,
        outputs,
        layers.eval().requires_grad_(False),
        kinds[-1] == "Normalize",
        sizes.get("max_seq_length"),
        bool(sizes.get("do_lower_case")),
        prefix,
        unsupported,
    )


def _poolings(options: Mapping[str, Any]) -> tuple[str, ...]:
    names = options.get("pooling_mode")
    if names is None:
        names = [name for key, name in OLD_POOLINGS.items() if options.get(key)] or ["mean"]
    found = (names,) if isinstance(names, str) else tuple(names)
    unknown = set(found) - set(POOLINGS)
    if unknown:
        raise ValueError(f"unknown pooling {', '.join(sorted(unknown))}")
    return found


def _dense(folder: Path, options: Mapping[str, Any]) -> nn.Sequential:
    name = str(options.get("activation_function", "torch.nn.modules.activation.Tanh"))
    activation = name.rpartition(".")[2]
    if not name.startswith("torch.nn.") or activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation_function {name}")
    linear = nn.Linear(options["in_features"], options["out_features"], options.get("bias", True))
    if (folder / "model.safetensors").is_file():
        from safetensors.torch import load_file

        state = load_file(folder / "model.safetensors")
    else:
        state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    linear.load_state_dict({key.removeprefix("linear."): value for key, value in state.items()})
    return nn.Sequential(linear.float(), getattr(nn, activation)())


def _json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))
