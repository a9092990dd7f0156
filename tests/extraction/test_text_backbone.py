import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertModel,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5EncoderModel,
    T5Model,
)

from dal.errors import ConfigError, DataError
from dal.extraction import Backbone, TextBackbone, extractor
from tests.images import computed_rows
from tests.texts import (
    NUM_POSITIONS,
    VOCABULARY,
    Texts,
    extractor_of,
    messages_of,
    save_bert,
    save_dense,
    save_modules,
    save_tokenizer,
    token_ids,
)

TEXTS = ["the card is late", "my money was taken", "a"]


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return save_bert(tmp_path / "bert")


def features(weights: Path, texts: list[str] = TEXTS, **kwargs: Any) -> torch.Tensor:
    loaded = TextBackbone(weights=weights, **kwargs).load()
    with torch.no_grad():
        reader = loaded.reader
        return loaded.forward(reader.collate([reader.read(text) for text in texts]))


def hidden_states(weights: Path, text: str) -> torch.Tensor:
    with torch.no_grad():
        ids = torch.tensor([token_ids(text)])
        hidden: torch.Tensor = BertModel.from_pretrained(weights)(input_ids=ids).last_hidden_state
    return hidden[0]


def test_outputs(bert: Path) -> None:
    model = BertModel.from_pretrained(bert)
    for row, text in enumerate(TEXTS):
        with torch.no_grad():
            outputs = model(input_ids=torch.tensor([token_ids(text)]))
        hidden = outputs.last_hidden_state[0]
        for output, expected in (
            ("mean", hidden.mean(0)),
            ("cls", hidden[0]),
            ("pooler", outputs.pooler_output[0]),
            ("lasttoken", hidden[-1]),
        ):
            torch.testing.assert_close(features(bert, output=output)[row], expected)
    mean = features(bert)
    torch.testing.assert_close(mean, features(bert, output="mean"))
    torch.testing.assert_close(
        features(bert, normalize=True), mean / mean.norm(dim=1, keepdim=True)
    )


def test_a_prefix_is_a_part_of_each_text(bert: Path) -> None:
    with_prefix = [f"query : {text}" for text in TEXTS]
    torch.testing.assert_close(features(bert, prefix="query: "), features(bert, with_prefix))


POOLING = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False}


def test_a_sentence_transformers_folder(bert: Path) -> None:
    pooling = POOLING | {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}
    save_modules(bert, [("Pooling", pooling), ("Normalize", None)], max_length=4)
    expected = []
    for text in TEXTS:
        cut = " ".join(text.split()[:2])
        hidden = hidden_states(bert, cut)
        joined = torch.cat([hidden.amax(0), hidden.mean(0)])
        expected.append(joined / joined.norm())
    torch.testing.assert_close(features(bert), torch.stack(expected))
    loaded = TextBackbone(weights=bert).load()
    assert loaded.summary() == (
        "texts (what is not given as in its modules.json): at most 4 tokens, maximum of the tokens "
        "and mean of the tokens, scaled to length 1."
    )
    assert features(bert, normalize=False).norm(dim=1).min() > 1.1
    # What is given takes the place of what the files say.
    given = features(bert, output="cls", normalize=False, max_length=8)
    torch.testing.assert_close(given, torch.stack([hidden_states(bert, one)[0] for one in TEXTS]))


def test_poolings_as_later_versions_write_them(bert: Path) -> None:
    pooling = {"embedding_dimension": 32, "pooling_mode": "weightedmean", "include_prompt": True}
    save_modules(bert, [("Pooling", pooling)])
    hidden = hidden_states(bert, "the card")
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(
        features(bert, ["the card"])[0], (hidden * weights[:, None]).sum(0) / 10
    )


def test_a_dense_layer_after_the_pooling(bert: Path) -> None:
    dense: dict[str, Any] = {"in_features": 32, "out_features": 5, "bias": True}
    dense["activation_function"] = "torch.nn.modules.activation.Tanh"
    save_modules(bert, [("Pooling", POOLING), ("Dense", dense), ("Normalize", {})])
    linear = save_dense(bert / "2_Dense" / "model.safetensors", 32, 5)
    raw = torch.stack([hidden_states(bert, text).mean(0) for text in TEXTS])
    with torch.no_grad():
        expected = torch.nn.functional.normalize(torch.tanh(linear(raw)), dim=1)
    torch.testing.assert_close(features(bert), expected)
    before = TextBackbone(weights=bert).load().description()
    save_dense(bert / "2_Dense" / "model.safetensors", 32, 5)
    assert TextBackbone(weights=bert).load().description() != before
    torch.testing.assert_close(features(bert, output="mean", normalize=False), raw)


def test_the_prompt_and_the_case_that_the_files_name(tmp_path: Path) -> None:
    bert = save_bert(tmp_path / "cased", lowercase=False)
    lower = features(bert, ["query : the card"])
    assert not torch.allclose(features(bert, ["query : The Card"]), lower)
    save_modules(bert, [("Pooling", POOLING)])
    prompts = {"prompts": {"query": "query: ", "other": "a"}, "default_prompt_name": "query"}
    (bert / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    sizes = {"max_seq_length": 10, "do_lower_case": True}
    (bert / "sentence_bert_config.json").write_text(json.dumps(sizes))
    torch.testing.assert_close(features(bert, ["The Card"]), lower)
    assert 'prefix "query: ", at most 10 tokens' in TextBackbone(weights=bert).load().summary()
    torch.testing.assert_close(features(bert, ["Query: THE card"], prefix=""), lower)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([("Pooling", POOLING), ("LSTM", {})], "the module LSTM at place 2 is not supported"),
        ([("Normalize", None), ("Pooling", POOLING)], "the module Normalize at place 1"),
        ([("Pooling", {"pooling_mode": "median"})], "unknown pooling median"),
        ([("Pooling", POOLING), ("Dense", {"in_features": 32})], "Cannot use .*out_features"),
        (
            [("Pooling", POOLING), ("Dense", {"activation_function": "os.system"})],
            "unknown activation_function os.system",
        ),
    ],
)
def test_modules_that_are_not_supported(bert: Path, modules: Any, message: str) -> None:
    save_modules(bert, modules)
    with pytest.raises(DataError, match=message):
        TextBackbone(weights=bert).load()


def test_what_is_not_supported_can_be_done_without(bert: Path) -> None:
    save_modules(bert, [("Pooling", POOLING), ("LSTM", {})])
    with pytest.raises(DataError, match=r"backbone.output=mean backbone.normalize=false"):
        TextBackbone(weights=bert, output="mean").load()
    given = features(bert, ["a"], output="mean", normalize=False)
    torch.testing.assert_close(given[0], hidden_states(bert, "a").mean(0))


def test_all_settings_are_in_the_description(bert: Path, tmp_path: Path) -> None:
    plain = TextBackbone(weights=bert).load().description()
    assert plain["max_length"] == NUM_POSITIONS
    for option in (
        {"output": "cls"},
        {"normalize": True},
        {"max_length": 9},
        {"prefix": "query: "},
    ):
        assert TextBackbone(weights=bert, **option).load().description() != plain
    cased = shutil.copytree(bert, tmp_path / "cased")
    save_tokenizer(cased, lowercase=False)
    other = TextBackbone(weights=cased).load().description()
    assert {key for key in plain if plain[key] != other[key]} == {"tokenizer"}


def test_a_changed_tokenizer_is_noticed(bert: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(extractor, "SORTED_PART_ROWS", 4)
    texts = Texts(["The Card", "the card"])
    first = extractor_of(bert, tmp_path / "cache")
    same = first.entry(texts, "train").load()[0]
    assert torch.equal(same[0], same[1])
    assert messages_of(first)[-1] == "texts: at most 16 tokens, mean of the tokens."
    save_tokenizer(bert, lowercase=False)
    computed = computed_rows(monkeypatch)
    other = extractor_of(bert, tmp_path / "cache").entry(texts, "train").load()[0]
    assert computed == [2]
    assert not torch.allclose(other[0], other[1])


def test_a_checkpoint_without_a_pooler(tmp_path: Path) -> None:
    bert = save_bert(tmp_path, pooler=False)
    with pytest.raises(DataError, match="has no pooler. .*output=mean or backbone.output=cls"):
        TextBackbone(weights=bert, output="pooler").load()
    a, b = (TextBackbone(weights=bert).load().description() for _ in range(2))
    assert a == b  # the pooler, which is random, is not a part of it


def test_weights_of_another_model(bert: Path) -> None:
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(DataError, match="lacks 16 of .* weights of a BertModel"):
        TextBackbone(weights=bert).load()


def test_the_files_of_the_tokenizer(bert: Path) -> None:
    (bert / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="Cannot load the tokenizer in .*bert"):
        TextBackbone(weights=bert).load()
    for file in bert.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(DataError, match="Expected the files of a tokenizer .*tokenizer.json"):
        TextBackbone(weights=bert).load()


def test_a_tokenizer_of_another_model(bert: Path, tmp_path: Path) -> None:
    config = RobertaConfig(
        vocab_size=5, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    RobertaModel(config).save_pretrained(tmp_path / "other")
    shutil.copy(bert / "tokenizer.json", tmp_path / "other")
    with pytest.raises(DataError, match="has 17 tokens, the network knows 5"):
        TextBackbone(weights=tmp_path / "other").load()


def test_a_network_of_images(bert: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"network for texts, got .*Dinov2Model.*reads images"):
        TextBackbone(weights=weights).load()
    with pytest.raises(DataError, match=r"network for images, got .*BertModel.*reads texts"):
        Backbone(weights=bert).load()
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = CLIPTextConfig(**sizes, intermediate_size=16, vocab_size=20, max_position_embeddings=12)
    vision = CLIPVisionConfig(**sizes, intermediate_size=16, image_size=28, patch_size=14)
    CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict())
    ).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    with pytest.raises(DataError, match="backbone.architecture=CLIPTextModel"):
        TextBackbone(weights=tmp_path).load()
    assert features(tmp_path, architecture="CLIPTextModel", output="pooler").shape == (3, 16)
    with pytest.raises(ConfigError, match="`max_length` of at most 12"):
        TextBackbone(weights=tmp_path, architecture="CLIPTextModel", max_length=13).load()


def test_the_longest_text(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`max_length` of at most 16, .*bert takes, got 17"):
        TextBackbone(weights=bert, max_length=17).load()
    with pytest.raises(ConfigError, match="`max_length` above 2, .*got 2"):
        TextBackbone(weights=bert, max_length=2).load()
    with pytest.raises(ConfigError, match="`max_length` above 4, .*got 4"):
        TextBackbone(weights=bert, max_length=4, prefix="query: ").load()
    # RoBERTa's first position is the one after that of the padding.
    config = RobertaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=12,
        pad_token_id=1,
    )
    RobertaModel(config).save_pretrained(tmp_path / "roberta")
    save_tokenizer(tmp_path / "roberta")
    assert TextBackbone(weights=tmp_path / "roberta").load().reader.max_length == 10
    assert features(tmp_path / "roberta", ["the card " * 9]).isfinite().all()


def test_an_encoder_with_a_decoder(tmp_path: Path) -> None:
    config = T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5Model(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    with pytest.raises(DataError, match="backbone.architecture=T5EncoderModel"):
        TextBackbone(weights=tmp_path).load()
    T5EncoderModel(config).save_pretrained(tmp_path)
    assert features(tmp_path, architecture="T5EncoderModel").shape == (3, 8)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"output": "maen"}, "Unknown `output` 'maen'. Did you mean 'mean'"),
        ({"normalize": "yes"}, "`normalize` to be true or false, got 'yes'"),
        ({"max_length": 0}, "`max_length` of at least 1 token, got 0"),
        ({"max_length": "9"}, "`max_length` of at least 1 token, got '9'"),
        ({"prefix": 3}, "`prefix` to be a text, got 3"),
        ({"id": None}, "`id` or `weights`"),
    ],
)
def test_arguments_are_checked(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TextBackbone(**({"id": "o/n"} | kwargs))
