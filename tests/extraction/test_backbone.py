import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from PIL import ExifTags, Image
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    ResNetConfig,
    ResNetModel,
    ViTConfig,
    ViTModel,
)
from transformers.models.dinov2_with_registers import Dinov2WithRegistersModel

from dal.errors import ConfigError, DataError
from dal.extraction import Backbone, OwnTransform, hub
from dal.extraction.images.backbone import ImageReader
from dal.runtime import network
from tests.images import SMALL, save_dinov2


def random_pixels(num: int = 2, crop: int = 28) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (num, 3, crop, crop), generator=generator, dtype=torch.uint8)


def test_features_are_the_class_token_after_the_last_norm(weights: Path) -> None:
    pixels = random_pixels()
    model = Dinov2Model.from_pretrained(weights)
    with torch.no_grad():
        outputs = model(pixel_values=SMALL.normalized(pixels))
        features = Backbone(weights=weights, transform=SMALL).load()(pixels)
        tokens = Backbone(weights=weights, transform=SMALL, output="cls").load()(pixels)
    assert torch.equal(features, outputs.last_hidden_state[:, 0])
    assert torch.equal(features, tokens)
    assert features.dtype == torch.float32


def test_images_are_read_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 40), (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, 40, 20))  # blue above red
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3  # the camera was upside down
    image.save(tmp_path / "1.png", exif=exif)
    reader = ImageReader(SMALL)
    pixels = reader.read({"path": str(tmp_path / "1.png"), "bytes": None})
    assert pixels[:, 0, 0].tolist() == [255, 0, 0]
    assert pixels[:, -1, -1].tolist() == [0, 0, 255]
    batch = reader.collate([pixels, pixels])
    assert batch.is_contiguous()  # torch may round otherwise on another order of bytes
    assert torch.equal(batch[1], torch.from_numpy(pixels.copy()))


def test_images_larger_than_the_network_was_trained_on(weights: Path) -> None:
    features = Backbone(weights=weights).load()(random_pixels(1, 224))
    assert features.shape == (1, 16)


def test_registers(tmp_path: Path) -> None:
    config = Dinov2WithRegistersConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=28
    )
    Dinov2WithRegistersModel(config).save_pretrained(tmp_path)
    assert Backbone(weights=tmp_path, transform=SMALL).load()(random_pixels()).shape == (2, 8)


def test_other_encoders_of_the_library(tmp_path: Path) -> None:
    config = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    CLIPVisionModel(config).save_pretrained(tmp_path)
    for output in ("pooler", "cls"):
        backbone = Backbone(
            weights=tmp_path, transform=SMALL, architecture="CLIPVisionModel", output=output
        )
        assert backbone.load()(random_pixels()).shape == (2, 8)


def test_weights_are_known_by_their_content(weights: Path, tmp_path: Path) -> None:
    known = Backbone(weights=weights, transform=SMALL).load().description()
    shutil.copytree(weights, tmp_path / "renamed")
    assert Backbone(weights=tmp_path / "renamed", transform=SMALL).load().description() == known
    save_dinov2(tmp_path / "other", seed=1)
    other = Backbone(weights=tmp_path / "other", transform=SMALL).load().description()
    assert {key for key in known if other[key] != known[key]} == {"weights"}


VIT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 28,
    "patch_size": 14,
}


def test_weights_that_a_checkpoint_lacks_are_never_made_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ViTModel(ViTConfig(**VIT), add_pooling_layer=False).save_pretrained(tmp_path / "vit")
    capfd.readouterr()
    with pytest.raises(DataError, match=r"has no pooler.*backbone.output=cls"):
        Backbone(weights=tmp_path / "vit", transform=SMALL).load()
    tokens = Backbone(weights=tmp_path / "vit", transform=SMALL, output="cls")
    assert tokens.load().description() == tokens.load().description()  # no random part in it
    config = tmp_path / "vit" / "config.json"
    deeper = config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 4')
    config.write_text(deeper)
    with pytest.raises(DataError, match=r"lacks 34 of 72 weights of a ViTModel .*layers.2"):
        Backbone(weights=tmp_path / "vit", transform=SMALL, output="pooler").load()
    with pytest.raises(DataError, match=r"lacks 32 of 72 weights"):
        Backbone(weights=tmp_path / "vit", transform=SMALL, output="cls").load()
    assert capfd.readouterr().err == ""  # the library's own report is not shown


def test_a_checkpoint_of_another_model_is_refused(weights: Path, tmp_path: Path) -> None:
    ViTModel(ViTConfig(**VIT)).save_pretrained(tmp_path / "vit")
    shutil.copy(weights / "model.safetensors", tmp_path / "vit")
    with pytest.raises(DataError, match="lacks .* of .* weights of a ViTModel"):
        Backbone(weights=tmp_path / "vit", transform=SMALL).load()
    ViTModel(ViTConfig(**VIT)).save_pretrained(tmp_path / "wide")
    config = tmp_path / "wide" / "config.json"
    config.write_text(
        config.read_text().replace('"intermediate_size": 16', '"intermediate_size": 8')
    )
    with pytest.raises(DataError, match="lacks 6 of .* in another shape"):
        Backbone(weights=tmp_path / "wide", transform=SMALL).load()


def test_heads_that_are_not_used_may_be_in_a_checkpoint(tmp_path: Path) -> None:
    config = Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=28)
    Dinov2ForImageClassification(config).save_pretrained(tmp_path)
    assert Backbone(weights=tmp_path, transform=SMALL).load()(random_pixels()).shape == (2, 8)


def test_weights_that_may_not_be_read(weights: Path, tmp_path: Path) -> None:
    shutil.copytree(weights, tmp_path / "own")
    (tmp_path / "own" / "model.safetensors").unlink()
    (tmp_path / "own" / "model.safetensors").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"Cannot read the weights .*own/model\.safetensors"):
        Backbone(weights=tmp_path / "own").load()


def test_all_files_that_are_loaded_are_watched(weights: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(weights / "config.json", own)
    model = Dinov2Model.from_pretrained(weights)
    torch.save(model.state_dict(), own / "pytorch_model.bin")
    (own / "preprocessor_config.json").write_text("{}")
    (own / "README.md").write_text("x")
    backbone = Backbone(weights=own, transform=SMALL)
    assert backbone.load()(random_pixels()).shape == (2, 16)
    assert backbone.local_files()[0].names == ["config.json", "pytorch_model.bin"]
    (watched,) = Backbone(weights=own, transform=OwnTransform()).local_files()
    assert watched.names == ["config.json", "preprocessor_config.json", "pytorch_model.bin"]


def test_the_networks_own_transform_is_used_and_said(weights: Path, tmp_path: Path) -> None:
    own = shutil.copytree(weights, tmp_path / "own")
    (own / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor", "size": {"height": 28, "width": 28}}'
    )
    encoder = Backbone(weights=own, transform=OwnTransform()).load()
    assert encoder.description()["transform"]["squash"]
    assert encoder.summary() == (
        "transform (as in its preprocessor_config.json): both sides 28 pixels (bilinear), "
        "centre 28 × 28, mean [0.5, 0.5, 0.5], std [0.5, 0.5, 0.5]."
    )
    plain = Backbone(weights=own, transform=SMALL).load()  # DINOv2's options keep the paper's
    assert plain.description()["transform"] == SMALL.description()


def test_outputs_of_networks_without_a_class_token(tmp_path: Path) -> None:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    ResNetModel(config).save_pretrained(tmp_path)
    assert Backbone(weights=tmp_path, transform=SMALL).load()(random_pixels()).shape == (2, 16)
    with pytest.raises(DataError, match="has no class token.*backbone.output=pooler"):
        Backbone(weights=tmp_path, transform=SMALL, output="cls").load()


def test_what_to_try_with_another_network(tmp_path: Path) -> None:
    text = {key: VIT[key] for key in VIT if key not in ("image_size", "patch_size")}
    CLIPModel(CLIPConfig(text_config=text, vision_config=VIT)).save_pretrained(tmp_path / "clip")
    with pytest.raises(DataError, match="backbone.architecture=CLIPVisionModel"):
        Backbone(weights=tmp_path / "clip", transform=SMALL).load()
    ViTModel(ViTConfig(**VIT | {"image_size": 56})).save_pretrained(tmp_path / "vit")
    with pytest.raises(DataError, match=r"transform.resize=56 backbone.transform.crop=56"):
        Backbone(weights=tmp_path / "vit", transform=SMALL).load()


def test_weights_that_cannot_be_used(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="backbone.weights to be a folder"):
        Backbone(weights=tmp_path / "nowhere").load()
    with pytest.raises(DataError, match="Cannot load the backbone's weights"):
        Backbone(weights=tmp_path).load()
    with pytest.raises(DataError, match="found the file .*model.safetensors"):
        Backbone(weights=weights / "model.safetensors").load()
    shutil.copytree(weights, tmp_path / "cut")
    file = tmp_path / "cut" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match="Cannot load the backbone's weights"):
        Backbone(weights=tmp_path / "cut").load()
    with pytest.raises(ConfigError, match="Unknown `architecture` 'AutoModle'"):
        Backbone(weights=weights, architecture="AutoModle").load()
    with pytest.raises(ConfigError, match="`id` or `weights`"):
        Backbone()
    with pytest.raises(ConfigError, match="Unknown `output` 'mean'"):
        Backbone(weights=weights, output="mean")


class Response:
    """As much of an HTTP response as the hub's errors look at."""

    headers: Mapping[str, str] = MappingProxyType({})
    status_code = 404
    request = None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (GatedRepoError, "you must ask for access to it.*huggingface.co/datasets/a/b.*auth login"),
        (RepositoryNotFoundError, "none of that name, or none that you have access to"),
        (RevisionNotFoundError, "no such revision"),
        (OSError, "No space left.*run the same command again.*data.path=DIR"),
    ],
)
def test_what_the_hub_refuses_is_one_message(
    error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, local_files_only: bool, **__: Any) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not there")
        if error is OSError:
            raise OSError(28, "No space left on device")
        raise error("no", response=Response())  # type: ignore[call-arg]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(network, "check_reachable", lambda *_: None)
    with pytest.raises(DataError, match=message):
        hub.snapshot("a/b", "main", "dataset", local_hint="data.path=DIR")


def test_no_network_is_noticed_within_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"HF_HUB_OFFLINE.*hf download o/n --revision r"):
        Backbone("o/n", "r").load()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"127.0.0.1:9 cannot be reached.*backbone.weights=DIR"):
        Backbone("o/n", "r").load()
    with pytest.raises(DataError, match="owner/name"):
        Backbone("o/n/x", "r").load()


def test_a_network_without_such_an_output(tmp_path: Path) -> None:
    config = Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=28)
    Dinov2ForImageClassification(config).save_pretrained(tmp_path)
    backbone = Backbone(
        weights=tmp_path, transform=SMALL, architecture="Dinov2ForImageClassification"
    )
    with pytest.raises(DataError, match=r"has no `pooler` output for images of 28 × 28 pixels"):
        backbone.load()


def test_the_hubs_cache_needs_no_network(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--o--n" / "snapshots" / commit
    shutil.copytree(weights, snapshot)
    (tmp_path / "models--o--n" / "refs").mkdir()
    (tmp_path / "models--o--n" / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", _with_cache(tmp_path))
    for revision in (commit, "main"):
        encoder = Backbone("o/n", revision, transform=SMALL).load()
        assert encoder(random_pixels()).shape == (2, 16)


def _with_cache(folder: Path) -> Any:
    original = huggingface_hub.snapshot_download
    return lambda *args, **kwargs: original(*args, cache_dir=folder, **kwargs)
