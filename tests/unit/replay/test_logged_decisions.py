"""Recorded decisions: what is sound, and how they are laid out."""

import numpy as np
import pytest
from logs import logged

from tiny_dancer.lexical_features import COUNT, EARLIER_COUNTS
from tiny_dancer.replay import logged_decisions
from tiny_dancer.replay.logged_decisions import LoggedDecision, LoggedDecisions

EAST = np.array([1, 0], np.float32)
SOUND = LoggedDecision(7, False, 10, [7, 9], [0.9, 0.5], [0.8, 0.2], EAST, None, 1.0, 0.02)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"probabilities": None},
        {"quality": None, "cost": None},
        {"lexical": [1.0]},
        {"probabilities": [1.0, 0.0]},
        {"embedding": EAST * np.float32(1.001)},
    ],
)
def test_what_a_router_records_is_sound(changed):
    assert SOUND._replace(**changed).is_sound(2)


@pytest.mark.parametrize(
    "changed",
    [
        {"agent_id": 8}, {"candidates": []}, {"candidates": [7, 7]}, {"candidates": [7, None]},
        {"candidates": [[7, 9]]}, {"candidates": [7]}, {"expected_quality": [0.9]},
        {"expected_quality": [0.9, None]}, {"expected_quality": [0.9, float("nan")]},
        {"expected_quality": [0.9, 1.1]}, {"probabilities": [1.0]}, {"probabilities": [0.5, 0.6]},
        {"probabilities": [1.5, -0.5]}, {"probabilities": [float("nan"), 1.0]},
        {"probabilities": [0.0, 1.0]}, {"probabilities": [0.5, None]},
        {"lexical": [None]}, {"lexical": [float("nan")]}, {"lexical": [[1.0]]}, {"lexical": [1e30]},
        {"cost": 1e300}, {"embedding": EAST * 2}, {"embedding": np.ones(3, np.float32)},
        {"embedding": EAST * np.float32("nan")},
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_not_sound(changed):
    assert not SOUND._replace(**changed).is_sound(2)


def test_decisions_are_laid_out_by_position(monkeypatch):
    half = 22
    monkeypatch.setattr(logged_decisions, "RECORDED_COUNTS", (2 * half,))
    rows = [SOUND, SOUND._replace(agent_id=9, candidates=[9], expected_quality=[0.4],
            probabilities=None, lexical=[2.0, 4.0] * half, quality=None)]  # fmt: skip
    found = LoggedDecisions.of(rows, {7: 1, 9: 0}, 2)
    assert found.starts.tolist() == [0, 2, 3]
    assert found.candidates.tolist() == [1, 0, 0]
    assert found.chosen.tolist() == [1, 0]
    assert found.probabilities.tolist() == [0.8, 0.2, 1.0]
    np.testing.assert_array_equal(found.quality, [1.0, np.nan])
    # Features that were not recorded are taken to be average.
    assert found.lexical.tolist() == [[2.0, 4.0] * half] * 2
    assert found.expected_of(np.array([0, 1])).tolist() == [0.5, pytest.approx(np.nan, nan_ok=True)]


def test_features_of_an_earlier_version_are_the_first_ones():
    now, then = [1.0] * COUNT, [3.0] * EARLIER_COUNTS[0]
    rows = [SOUND._replace(lexical=features) for features in (now, then, [9.0] * 5, [9.0] * 100)]
    found = LoggedDecisions.of(rows, {7: 1, 9: 0}, 2).lexical
    assert found.shape == (4, COUNT)
    assert found[1].tolist() == then + [1.0] * (COUNT - len(then))
    for other in found[2:]:
        assert other.tolist() == [2.0] * len(then) + [1.0] * (COUNT - len(then))


def test_no_decisions_are_laid_out_too():
    found = LoggedDecisions.of([], {}, 3)
    assert len(found) == 0
    assert found.embeddings.shape == (0, 3)
    assert found.can_be_replayed.shape == (0,)


def test_what_can_be_replayed():
    log = logged([[0.5, 0.5], [1, 0], [1, 0], [0.9, 0.1]], [0, 0, 0, 1])
    assert log.can_be_replayed.tolist() == [True, False, False, True]
    ruled = logged([[0.5, 0.5], [1, 0]], [0, 0], is_rule=np.array([False, True]))
    assert ruled.can_be_replayed.tolist() == [True, True]
    single = logged([[1.0]], [0])
    assert single.can_be_replayed.tolist() == [True]


def test_places_of_agents_among_the_candidates():
    log = logged(np.full((3, 2), 0.5), [0, 1, 0])
    assert log.place_of(np.array([1, 0, 5])).tolist() == [1, 2, -1]
    kept = log.rows(np.array([False, True, True]))
    assert kept.place_of(np.array([1, 0])).tolist() == [1, 2]
    np.testing.assert_array_equal(kept.input_tokens, log.input_tokens[1:])
