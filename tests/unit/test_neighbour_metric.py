"""Learning a map under which the neighbours of a row are of its class."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.predictors.principal_components import PrincipalComponents
from tiny_dancer.route_evidence import mapped, unit_rows
from tiny_dancer.training import neighbour_metric
from tiny_dancer.training.neighbour_metric import fit_metric
from tiny_dancer.training.progress import no_progress

DIMENSION = 16


def distracted(each=40, seed=0):
    """Rows of four classes that differ in four directions, and in the others vary widely."""
    generator = np.random.default_rng(seed)
    classes = np.repeat(np.arange(4), each)
    rows = generator.normal(size=(len(classes), DIMENSION))
    rows[:, :4] = 1.5 * np.eye(4)[classes] + 0.3 * generator.normal(size=(len(classes), 4))
    return unit_rows(rows), classes


def share_near_own_class(vectors, classes):
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1.0)
    return float((classes[cosines.argmax(axis=1)] == classes).mean())


def learned(vectors, classes, rank=8, **options):
    start = PrincipalComponents.fit(vectors, rank, 0, no_progress).directions
    arguments = {"steps": 150, "seed": 0, "after": lambda step: None, **options}
    return fit_metric(vectors, classes, start=start, **arguments)


def test_rows_that_it_has_not_seen_have_nearer_neighbours_of_their_class():
    vectors, classes = distracted()
    metric = learned(vectors, classes, rank=DIMENSION)
    new, of_new = distracted(seed=1)
    before = share_near_own_class(new, of_new)
    assert share_near_own_class(mapped(new, metric), of_new) > before + 0.03


def test_the_same_rows_and_seed_give_the_same_map():
    vectors, classes = distracted()
    first = learned(vectors, classes, steps=5)
    assert first.shape == (8, DIMENSION)
    assert first.dtype == np.float32
    assert np.array_equal(first, learned(vectors, classes, steps=5))
    assert not np.array_equal(first, learned(vectors, classes, steps=5, seed=1))


def test_the_gradient_is_that_of_the_loss():
    vectors, classes = distracted(each=6)
    metric = np.random.default_rng(3).normal(size=(5, DIMENSION)).astype(np.float32)
    count = 10

    def loss(at):
        near = mapped(vectors.astype(np.float64), at)
        shares = np.exp(20.0 * (near[:count].astype(np.float64) @ near.T - 1.0))
        shares[np.arange(count), np.arange(count)] = 0.0
        of_class = (shares * (classes[:count, None] == classes)).sum(axis=1)
        return float(-np.log(of_class / shares.sum(axis=1)).mean())

    gradient = neighbour_metric._gradient(metric, vectors, classes, count)
    for place in ((0, 0), (2, 7), (4, 15)):
        step = np.zeros(metric.shape)
        step[place] = 1e-2
        measured = (loss(metric + step) - loss(metric - step)) / 2e-2
        assert gradient[place] == pytest.approx(measured, rel=0.05, abs=2e-3)


@pytest.mark.parametrize("rows", [np.zeros((6, 4)), np.ones((6, 4)), np.eye(6, 4)])
def test_odd_rows_give_finite_weights(rows):
    metric = learned(rows.astype(np.float32), np.array([0, 0, 1, 1, 2, 3]), rank=4, steps=20)
    assert np.isfinite(metric).all()


def test_it_can_be_ended():
    def stop(step):
        raise KeyboardInterrupt

    vectors, classes = distracted(each=3)
    with pytest.raises(KeyboardInterrupt):
        learned(vectors, classes, after=stop)
