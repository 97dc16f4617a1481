"""Outcomes as a table: equal requests are one row, and what is held back is always the same."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.learning.outcome_table import OutcomeTable, joined_features, request_keys


def unit_rows(count, dimension=8, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def table(outcomes, count=20, lexical=None):
    """A table of (request, agent id, quality)."""
    request, agent_id, quality = (np.array(column) for column in zip(*outcomes, strict=True))
    words = np.zeros((count, 0), np.float32) if lexical is None else lexical
    return OutcomeTable.of(unit_rows(count), words, request, agent_id, quality.astype(np.float64))


def everybody(count, agents=(3, 7)):
    return [(r, a, (r + a) % 2) for r in range(count) for a in agents]


def test_each_agent_is_a_column_and_each_request_a_row():
    found = table(everybody(20))
    assert found.agent_ids == (3, 7)
    assert found.observations.targets.shape == (20, 2)
    assert found.observations.complete
    assert (np.diff(found.keys) > 0).all()


def test_who_was_not_tried_is_masked():
    found = table([(r, 3 if r < 12 else 7, 1.0) for r in range(20)])
    assert found.observations.counts().tolist() == [12, 8]
    assert (found.observations.mask.sum(axis=1) == 1).all()


def test_several_outcomes_of_one_agent_on_one_request_are_their_mean():
    found = table([*((r, 3, 0.0) for r in range(20)), (5, 3, 1.0), (5, 3, 1.0)])
    row = int(np.searchsorted(found.keys, request_keys(unit_rows(20))[5]))
    assert found.observations.targets[row, 0] == pytest.approx(2 / 3)
    assert found.outcomes[row, 0] == 3
    assert found.outcomes.sum() == 22


def test_requests_that_differ_by_less_than_half_precision_are_equal():
    rows = unit_rows(10)
    again = rows.astype(np.float16).astype(np.float32)
    assert (request_keys(rows) == request_keys(again)).all()
    assert len(set(request_keys(rows).tolist())) == 10
    ids, quality = np.array([3] * 20), np.zeros(20)
    both = OutcomeTable.of(
        np.concatenate([rows, again]), np.zeros((20, 0), np.float32), np.arange(20), ids, quality
    )
    assert len(both) == 10


def test_the_order_of_outcomes_plays_no_part():
    outcomes = [(r % 20, 3 + 4 * (r % 3), 1.0 / (1 + r)) for r in range(100)]
    turned = outcomes[::-1]
    first, second = table(outcomes), table(turned)
    for name in ("targets", "mask", "embeddings"):
        left, right = getattr(first.observations, name), getattr(second.observations, name)
        np.testing.assert_array_equal(left, right)


def test_a_request_that_no_outcome_names_is_left_out():
    assert len(table(everybody(12), count=20)) == 12


@pytest.mark.parametrize("count", [1, 4])
def test_too_few_requests_are_refused(count):
    with pytest.raises(InvalidArgumentError, match=f"outcomes of {count} different requests"):
        table(everybody(count))


def test_about_a_tenth_is_held_back_and_always_the_same_requests():
    large, small = table(everybody(400), 400), table(everybody(400)[:600], 400)
    held_back = [set(t.keys[t.held_back()[1]].tolist()) for t in (large, small)]
    assert 20 <= len(held_back[0]) <= 60
    assert held_back[1] <= held_back[0]
    training, apart = large.held_back()
    assert sorted([*training.tolist(), *apart.tolist()]) == list(range(400))


def test_of_five_requests_one_is_held_back():
    training, apart = table(everybody(5)).held_back()
    assert len(training) >= 4
    assert len(apart) <= 1


def test_of_few_requests_chance_holds_back_no_more_than_a_fifth():
    for seed in range(300):
        outcomes = np.arange(10), np.full(10, 3), np.linspace(0.0, 1.0, 10)
        found = OutcomeTable.of(unit_rows(10, seed=seed), np.zeros((10, 0), np.float32), *outcomes)
        assert 1 <= len(found.held_back()[1]) <= 2


def test_no_agent_has_all_of_its_outcomes_held_back():
    outcomes = everybody(200, agents=(3,))
    apart = table(outcomes, 200).held_back()[1]
    keys = request_keys(unit_rows(200)).tolist()
    rare = keys.index(int(table(outcomes, 200).keys[apart[0]]))
    found = table([*outcomes, (rare, 9, 1.0)], 200)
    training, apart = found.held_back()
    assert found.observations.mask[training].any(axis=0).all()
    assert len(apart) > 0


def test_features_that_are_not_known_are_filled_in():
    lexical = np.ones((20, 3), np.float32)
    lexical[4:8] = np.nan
    lexical[0] = 3.0
    found = table(everybody(20), lexical=lexical).observations.lexical
    assert found.shape == (20, 3)
    assert np.isfinite(found).all()
    assert found.max() == 3.0


def test_features_that_are_seldom_known_are_left_out():
    lexical = np.full((20, 3), np.nan, np.float32)
    lexical[:9] = 1.0
    assert table(everybody(20), lexical=lexical).observations.lexical.shape == (20, 0)


def test_features_of_another_version_count_as_unknown():
    odd = [None, np.ones(4), np.full(3, np.inf), np.ones((3, 2)), np.ones((2, 2))]
    rows = [row if row is None else row.astype(np.float32) for row in (np.ones(3), *odd)]
    found = np.isnan(joined_features(rows, 3, (2,))).all(axis=1).tolist()
    assert found == [False, True, True, True, True, True]


def test_features_of_an_earlier_version_are_the_first_ones():
    rows = [np.array([1.0, 2.0], np.float32), None, np.array([3.0, 4.0, 5.0], np.float32)]
    found = joined_features(rows, 3, (2,))
    np.testing.assert_array_equal(found[0], [1.0, 2.0, np.nan])
    assert np.isnan(found[1]).all()
    assert found[2].tolist() == [3.0, 4.0, 5.0]


def test_what_earlier_versions_recorded_is_learned_from():
    lexical = np.ones((20, 3), np.float32)
    lexical[:8, 2] = np.nan
    lexical[8:, 2] = 5.0
    found = table(everybody(20), lexical=lexical).observations.lexical
    assert sorted(found[:, 2].tolist()) == [5.0] * 20
    lexical[:11, 2] = np.nan
    assert table(everybody(20), lexical=lexical).observations.lexical.shape == (20, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -2e6])
def test_features_that_no_text_has_are_as_good_as_unknown(value):
    rows = [np.array([1.0, value, 3.0], np.float32), np.array([1.0, 2.0, 3.0], np.float32)]
    found = joined_features(rows, 3)
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [1.0, 2.0, 3.0]
