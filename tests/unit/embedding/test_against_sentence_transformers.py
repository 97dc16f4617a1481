"""Our vectors against those of sentence-transformers, of which they claim to be the same.

Needs a Python of its own, since sentence-transformers brings torch (about 1 GB)::

    python3 -m venv /tmp/st
    /tmp/st/bin/pip install --editable '.[dev]' sentence-transformers
    /tmp/st/bin/python -m pytest tests/unit/embedding/test_against_sentence_transformers.py -s

The weights are fetched as ``tiny-dancer model import all-MiniLM-L6-v2`` fetches them.
"""

import random

import numpy as np
import pytest

from tiny_dancer.embedding.importing.agreement import PROBES
from tiny_dancer.embedding.importing.architecture import read_architecture
from tiny_dancer.embedding.importing.importer import import_model
from tiny_dancer.embedding.importing.progress import Silent
from tiny_dancer.embedding.importing.sources import DEFAULT_MODEL, fetch_model
from tiny_dancer.embedding.provider import open_provider

sentence_transformers = pytest.importorskip(
    "sentence_transformers", reason="sentence-transformers is not installed (see the docstring)"
)

LEAST_MEAN_COSINE = {"fp32": 0.9999, "int8": 0.98}
# A lone question mark is the worst in int8: three tokens have nothing to average over.
LEAST_COSINE = {"fp32": 0.9999, "int8": 0.96}


def _texts() -> list[str]:
    """Texts of many lengths, within one window: words, symbols, other scripts, code."""
    choice = random.Random(0)
    words = " ".join(PROBES).split()
    made = [" ".join(choice.choices(words, k=choice.randint(1, 90))) for _ in range(60)]
    odd = [
        "?",
        "Grüße aus Zürich",
        "東京の天気は？",
        "for i in range(10): print(i ** 2)",
        "A" * 300,
    ]
    return [*PROBES, *made, *odd]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return fetch_model(DEFAULT_MODEL, tmp_path_factory.mktemp("fetched"), Silent()).path


@pytest.fixture(scope="module")
def original(source):
    return sentence_transformers.SentenceTransformer(str(source), device="cpu")


@pytest.fixture(scope="module", params=["fp32", "int8"])
def provider(source, tmp_path_factory, request):
    models_dir = tmp_path_factory.mktemp("models")
    # Named by its precision, which decides how near it has to be.
    imported = import_model(str(source), models_dir, name=request.param, precision=request.param)
    return open_provider(imported.folder)


def _cosines(provider, original, texts):
    theirs = original.encode(texts, batch_size=1, normalize_embeddings=True)
    return (provider.embed_batch(texts) * theirs).sum(axis=1)


def test_same_vectors(provider, original):
    cosines = _cosines(provider, original, _texts())
    print(f"\n{provider.name}: cosine mean {cosines.mean():.6f}, least {cosines.min():.6f}")
    assert cosines.mean() >= LEAST_MEAN_COSINE[provider.name]
    assert cosines.min() >= LEAST_COSINE[provider.name]


def test_same_window(source, original):
    assert read_architecture(source).max_tokens == original.max_seq_length


def test_text_that_just_fits(provider, original):
    # 254 words of one token each and the two special tokens are the whole window.
    text = " ".join(["order"] * 254)
    assert _cosines(provider, original, [text]).min() >= LEAST_COSINE[provider.name]


def test_a_long_text_is_the_mean_of_windows_of_theirs(provider, original):
    words = (" ".join(PROBES) + " ").split()
    words = [word for word in words if word.isalpha() and word.islower()] * 12
    tokenizer = original.tokenizer
    words = [word for word in words if len(tokenizer.tokenize(word)) == 1]
    assert len(words) > 2 * 254
    count = -(-len(words) // 254)
    starts = [round(i * (len(words) - 254) / (count - 1)) for i in range(count)]
    parts = [" ".join(words[start : start + 254]) for start in starts]
    mean = original.encode(parts, normalize_embeddings=True).mean(axis=0)
    cosine = provider.embed(" ".join(words)) @ (mean / np.linalg.norm(mean))
    assert cosine >= LEAST_COSINE[provider.name]
