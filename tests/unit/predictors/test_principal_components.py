"""The directions in which embeddings vary most, and predictors on them."""

import numpy as np
import pytest

from tiny_dancer.predictors.default_predictor import default_predictor
from tiny_dancer.predictors.observations import Observations
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.predictors.principal_components import PrincipalComponents, components_for
from tiny_dancer.training.progress import no_progress
from tiny_dancer.weights import DamagedWeightsError


def vectors(rows, dim, seed=0):
    """Unit vectors that vary less in each direction than in the one before."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((rows, dim)) * 0.9 ** np.arange(dim)
    values = values @ np.linalg.qr(generator.standard_normal((dim, dim)))[0]
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def fitted(values, most):
    return PrincipalComponents.fit(values, most, 0, no_progress)


def share(values, directions):
    """How much of the squared length of the vectors lies along some directions."""
    return float(((values @ directions.T) ** 2).sum() / (values**2).sum())


@pytest.mark.parametrize("rows", [300, 9000])
def test_no_other_directions_hold_more_of_the_vectors(rows):
    values = vectors(rows, 60)
    exact = np.linalg.svd(values, full_matrices=False)[2][:10]
    directions = fitted(values, 10).directions
    assert directions.dtype == np.float32
    np.testing.assert_allclose(directions @ directions.T, np.eye(10), atol=1e-5)
    assert share(values, directions) == pytest.approx(share(values, exact), rel=1e-4)
    lengths = np.linalg.norm(values @ directions.T, axis=0)
    assert (np.diff(lengths) < 1e-3).all()


@pytest.mark.parametrize(("rows", "dim"), [(1, 20), (5, 20), (50, 4)])
def test_there_are_no_more_directions_than_rows_or_columns(rows, dim):
    components = fitted(vectors(rows, dim), 16)
    assert components.directions.shape == (min(rows, dim, 16), dim)
    assert components.transform(vectors(3, dim)).shape == (3, min(rows, dim, 16))


def test_vectors_of_zeros_have_directions_too():
    assert np.isfinite(fitted(np.zeros((8, 6), np.float32), 3).directions).all()


def test_equal_requests_stay_equal():
    values = vectors(700, 50)[np.random.default_rng(1).integers(0, 700, 2000)]
    rows = Observations.checked(values, np.zeros((2000, 0)), np.ones((2000, 1)))
    projected = fitted(values, 8).of(rows)
    assert projected.embeddings.shape == (2000, 8)
    assert projected.groups().tolist() == rows.groups().tolist()


def test_it_can_be_cancelled():
    def cancel(done, of, loss):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiny_dancer.training.progress.LONGEST_SILENCE_S", 0.0)
        with pytest.raises(KeyboardInterrupt):
            PrincipalComponents.fit(vectors(50, 20), 4, 0, cancel)


def outcomes(dim):
    values = vectors(90, dim)
    quality = (values[:, :3] > 0.0).astype(float)
    return values, np.zeros((90, 0), np.float32), quality


@pytest.mark.parametrize(
    ("rows", "dimension", "expected"),
    [
        *((5, 384, 64), (1039, 384, 64), (1500, 384, 93), (3087, 384, 192), (3088, 384, None)),
        *((4480, 768, 280), (6160, 768, None), (5, 128, 64), (5, 127, None), (5, 3, None)),
    ],
)
def test_more_requests_bear_more_components(rows, dimension, expected):
    assert components_for(rows, dimension) == expected


@pytest.mark.parametrize(("dim", "seen"), [(127, None), (128, 64), (200, 64)])
def test_the_default_sees_components_of_longer_embeddings(dim, seen):
    predictor = default_predictor().fit(*outcomes(dim))
    found = predictor.components_
    assert (None if found is None else len(found.directions)) == seen
    assert {member.embedding_dim_ for member in predictor.members_} == {seen or dim}


def test_directions_of_another_length_are_damage():
    predictor = default_predictor().fit(*outcomes(130))
    tensors, description = predictor.to_state()
    tensors["components"] = tensors["components"][:, :-1]
    with pytest.raises(DamagedWeightsError, match="router model 7"):
        QualityPredictor.from_state(tensors, description, where="router model 7")


def test_a_model_of_a_version_without_components_is_read():
    predictor = default_predictor()
    predictor.reduced = False
    values, words, quality = outcomes(130)
    predictor.fit(values, words, quality)
    again = QualityPredictor.from_blob(predictor.to_blob())
    np.testing.assert_allclose(
        again.predict_batch(values, words), predictor.predict_batch(values, words), atol=1e-6
    )
