import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.evaluation.accuracy import chosen_quality, oracle_quality
from tiny_dancer.evaluation.baselines import (
    best_single_predictions,
    prompt_length_predictions,
    random_predictions,
)
from tiny_dancer.evaluation.bootstrap import bootstrap
from tiny_dancer.evaluation.calibration import calibration, expected_calibration_error
from tiny_dancer.evaluation.cost_quality import aiq, cost_quality_curve, upper_hull
from tiny_dancer.evaluation.performance_gap import apgr, cpt, recovered_gap

WEAK = np.array([1.0, 0.0, 1.0, 0.0])
STRONG = np.array([1.0, 1.0, 1.0, 1.0])
PERFECT = STRONG - WEAK


def test_a_perfect_router_recovers_the_gap_with_half_the_calls():
    assert recovered_gap(PERFECT, WEAK, STRONG).tolist() == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert apgr(PERFECT, WEAK, STRONG) == pytest.approx(0.75)
    assert cpt(PERFECT, WEAK, STRONG, 0.5) == 0.25
    assert cpt(PERFECT, WEAK, STRONG, 0.8) == 0.5


def test_the_opposite_router_recovers_it_last():
    assert apgr(-PERFECT, WEAK, STRONG) == pytest.approx(0.25)


def test_a_constant_router_is_a_straight_line():
    assert apgr(np.zeros(4), WEAK, STRONG) == pytest.approx(0.5)
    np.testing.assert_allclose(recovered_gap(np.zeros(4), WEAK, STRONG), np.linspace(0, 1, 5))


def test_order_of_the_rows_plays_no_part():
    generator = np.random.default_rng(0)
    advantage = generator.integers(5, size=50).astype(float)
    weak, strong = generator.random(50), generator.random(50) + 0.2
    order = generator.permutation(50)
    assert apgr(advantage, weak, strong) == pytest.approx(
        apgr(advantage[order], weak[order], strong[order])
    )


def test_without_a_gap_there_is_nothing_to_recover():
    with pytest.raises(InvalidArgumentError, match="equally good"):
        apgr(PERFECT, WEAK, WEAK)
    with pytest.raises(InvalidArgumentError, match="not finite"):
        apgr(PERFECT * np.nan, WEAK, STRONG)
    with pytest.raises(InvalidArgumentError, match="rows"):
        apgr(PERFECT[:2], WEAK, STRONG)
    with pytest.raises(InvalidArgumentError, match="target"):
        cpt(PERFECT, WEAK, STRONG, 0.0)


def test_the_hull_leaves_out_what_costs_more_and_does_worse():
    points = np.array([[1.0, 0.5], [2.0, 0.4], [3.0, 0.8], [2.0, 0.55], [4.0, 0.7]])
    assert upper_hull(points).tolist() == [[1.0, 0.5], [3.0, 0.8]]


def test_aiq_is_the_mean_height():
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    assert aiq(points, 0.0, 1.0) == pytest.approx(0.5)
    assert aiq(points, 0.0, 2.0) == pytest.approx(0.75)
    with pytest.raises(InvalidArgumentError, match="empty"):
        aiq(points, 1.0, 1.0)


def test_the_curve_runs_from_the_cheapest_to_the_best():
    predicted = np.array([[0.5, 0.9], [0.6, 0.7]])
    curve = cost_quality_curve(predicted, predicted, np.array([1.0, 10.0]))
    assert curve[0].tolist() == [1.0, 0.55]
    assert curve[-1].tolist() == pytest.approx([10.0, 0.8])
    assert (np.diff(curve[:, 0]) >= 0.0).all()


def test_agents_predicted_equal_share_the_choice():
    quality = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert chosen_quality(np.zeros((2, 2)), quality).tolist() == [0.5, 0.5]
    assert chosen_quality(quality, quality).tolist() == [1.0, 1.0]
    assert oracle_quality(quality).tolist() == [1.0, 1.0]


def test_true_probabilities_have_no_error_beyond_chance():
    generator = np.random.default_rng(0)
    said = generator.random(2000)
    seen = (generator.random(2000) < said).astype(float)
    found = calibration(said, seen)
    assert abs(found.excess) < 0.015
    assert found.chance > 0.01
    assert calibration(np.sqrt(said), seen).excess > 0.1


def test_calibration_error_by_hand():
    said, seen = np.array([0.2, 0.2, 0.8, 0.8]), np.array([0.0, 1.0, 1.0, 1.0])
    assert expected_calibration_error(said, seen, bins=2) == pytest.approx(0.25)


def test_bootstrap_of_a_mean_has_its_known_deviation():
    values = np.random.default_rng(0).standard_normal(400)
    interval = bootstrap(lambda rows: float(values[rows].mean()), np.arange(400), draws=600)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.deviation == pytest.approx(0.05, rel=0.2)
    assert interval.low < interval.estimate < interval.high


def test_twins_are_drawn_together():
    values = np.repeat(np.random.default_rng(0).standard_normal(100), 4)

    def mean(rows):
        return float(values[rows].mean())

    alone = bootstrap(mean, np.arange(400), draws=300)
    together = bootstrap(mean, np.repeat(np.arange(100), 4), draws=300)
    assert together.deviation > 1.6 * alone.deviation


def test_baselines():
    training = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    assert best_single_predictions(training, 2).argmax(axis=1).tolist() == [1, 1]
    lengths = prompt_length_predictions(["a", "a" * 200], ["a" * 100, "a" * 150, "a"], training)
    assert lengths.argmax(axis=1).tolist() == [0, 1]
    np.testing.assert_array_equal(random_predictions(3, 2, 7), random_predictions(3, 2, 7))
