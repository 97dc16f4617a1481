"""The written graph against an independent forward pass in float64."""

import numpy as np
import pytest
from small_bert import reference_vector, write_small_bert
from tokenizers import Tokenizer

from tiny_dancer.embedding.importing.agreement import PROBES
from tiny_dancer.embedding.importing.importer import import_model
from tiny_dancer.embedding.provider import open_provider

TEXTS = [text[:30] for text in PROBES] + ["a", "?", "reset", "zürich 東京"]


def _ids(folder, text):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(16)
    return tokenizer.encode(text).ids


@pytest.mark.parametrize("text", ["a", "reset my password", "the parcel, the order!", "東京"])
def test_fp32_equals_float64(small_bert, small_models, text):
    expected = reference_vector(small_bert, _ids(small_bert, text))
    vector = open_provider(small_models / "small-fp32").embed(text)
    assert vector == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(
    ("pooling", "activation"),
    [("cls_token", "gelu"), ("mean_tokens", "gelu_new"), ("cls_token", "relu")],
)
def test_other_poolings_and_activations(tmp_path, pooling, activation):
    source = write_small_bert(tmp_path / "other", pooling=pooling, hidden_act=activation, seed=3)
    model = import_model(str(source), tmp_path / "models", precision="fp32").folder
    expected = reference_vector(source, _ids(source, "reset my order"), pooling.split("_")[0])
    assert open_provider(model).embed("reset my order") == pytest.approx(expected, abs=2e-6)


def test_position_matters(small_models):
    provider = open_provider(small_models / "small-fp32")
    assert provider.embed("reset password") @ provider.embed("password reset") < 0.999


def test_int8_is_near_fp32(small_models):
    int8, fp32 = (open_provider(small_models / f"small-{p}") for p in ("int8", "fp32"))
    cosines = (int8.embed_batch(TEXTS) * fp32.embed_batch(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.98
    # Were they equal, int8 would not be what ran.
    assert cosines.max() < 1 - 1e-7


def test_int8_takes_a_quarter(small_models):
    int8, fp32 = (
        (small_models / f"small-{p}" / "model.onnx.data").stat().st_size for p in ("int8", "fp32")
    )
    assert int8 < 0.5 * fp32


def test_batch_equals_single_exactly(small_provider):
    singles = [small_provider.embed(text) for text in TEXTS]
    assert np.array_equal(small_provider.embed_batch(TEXTS), singles)
    assert np.array_equal(small_provider.embed_batch(TEXTS[::-1]), singles[::-1])


def test_vectors_are_unit_float32(small_provider):
    vectors = small_provider.embed_batch(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), small_provider.dimension)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
