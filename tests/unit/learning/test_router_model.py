"""A router model as a row: what was changed is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer import lexical_features
from tiny_dancer.learning.outcome_table import OutcomeTable
from tiny_dancer.learning.router_model import RouterModel
from tiny_dancer.predictors.default_predictor import predictor_by_name
from tiny_dancer.weights import DamagedWeightsError

DIMENSION = 8


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((60, DIMENSION))
    embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    lexical = rng.random((60, lexical_features.COUNT)).astype(np.float32)
    request, agent_id = np.repeat(np.arange(60), 2), np.tile([4, 9], 60)
    quality = (embeddings[request, 0] * np.where(agent_id == 4, 1.0, -1.0) > 0).astype(np.float64)
    table = OutcomeTable.of(embeddings, lexical, request, agent_id, quality)
    predictor = predictor_by_name("ridge").learn(table.observations)
    return RouterModel.trained_on(predictor, table, model_id=1, last_usage_id=77)


@pytest.fixture
def row(model):
    return {"id": 5, **model.columns()}


def test_a_row_gives_the_model_back(model, row):
    found = RouterModel.from_row(row, dimension=DIMENSION)
    assert found.id == 5
    assert found.agent_ids == (4, 9)
    assert found.last_usage_id == 77
    np.testing.assert_array_equal(found.means, model.means)
    vector, words = (
        np.eye(DIMENSION, dtype=np.float32)[0],
        np.zeros(lexical_features.COUNT, np.float32),
    )
    np.testing.assert_allclose(found.predict(vector, words), model.predict(vector, words))


def test_the_columns_are_builtins(row):
    for name, value in row.items():
        assert type(value) in (int, str, bytes, list), name
        if isinstance(value, list):
            assert {type(element) for element in value} <= {int, float}, name


def flipped(blob):
    changed = bytearray(blob)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


CHANGES = {
    "a bit of the weights": lambda row: {"weights": flipped(row["weights"])},
    "cut weights": lambda row: {"weights": row["weights"][:100]},
    "no weights": lambda row: {"weights": b""},
    "other agents": lambda row: {"agent_ids": [9, 4]},
    "other means": lambda row: {"agent_means": [0.5, 0.5]},
    "other counts": lambda row: {"agent_requests": [1e6, 1e6]},
    "another embedding model": lambda row: {"model_id": 2},
    "another time": lambda row: {"last_usage_id": 0},
    "another checksum": lambda row: {"checksum": "0" * 64},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_row_is_damaged(row, change):
    with pytest.raises(DamagedWeightsError, match="router model 5 is damaged"):
        RouterModel.from_row({**row, **change(row)}, dimension=DIMENSION)


def test_a_row_of_another_dimension_is_damaged(row):
    with pytest.raises(DamagedWeightsError, match="router model 5 is damaged"):
        RouterModel.from_row(row, dimension=DIMENSION + 1)


def test_a_model_of_an_earlier_version_goes_by_the_first_features(row, model, monkeypatch):
    earlier = lexical_features.COUNT
    monkeypatch.setattr(lexical_features, "COUNT", earlier + 3)
    monkeypatch.setattr(lexical_features, "EARLIER_COUNTS", (earlier,))
    found = RouterModel.from_row(row, dimension=DIMENSION)
    vector = np.eye(DIMENSION, dtype=np.float32)[0]
    words = np.random.default_rng(1).random(earlier + 3).astype(np.float32)
    expected = model.predict(vector, words[:earlier])
    np.testing.assert_array_equal(found.predict(vector, words), expected)
    batch = found.predict_batch(vector[None], words[None])
    np.testing.assert_allclose(batch[0], expected, rtol=1e-6)
    odds = found.log_odds_batch(vector[None], words[None])
    np.testing.assert_allclose(odds[0], found.log_odds(vector, words), rtol=1e-5)


def test_a_model_of_other_lexical_features_says_so(row, monkeypatch):
    monkeypatch.setattr(lexical_features, "RECORDED_COUNTS", (lexical_features.COUNT + 1,))
    with pytest.raises(DamagedWeightsError, match="was trained on"):
        RouterModel.from_row(row, dimension=DIMENSION)
