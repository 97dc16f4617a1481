"""The figures of route evaluation, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.evaluation.route_accuracy import (
    NONE,
    RouteJudgements,
    auroc,
    by_route,
    reliability_of,
    totals,
    worst_confusions,
)


def judged(wanted, guesses, margins, confidences=None):
    confidences = [1.0] * len(wanted) if confidences is None else confidences
    return RouteJudgements(
        np.array(wanted), np.array(guesses), np.array(confidences), np.array(margins)
    )


def test_totals():
    found = totals(judged([0, 0, 1, 1, NONE, NONE], [0, 1, 1, 1, 0, 1], [3, 1, -1, 2, -2, 2.5]))
    assert found["accuracy"] == 0.5
    assert found["accuracy_if_accepted_all"] == 0.75
    assert found["accepted"] == 0.75
    assert found["out_of_scope_recall"] == 0.5
    assert found["out_of_scope_auroc"] == pytest.approx(5 / 8)
    assert (found["examples"], found["in_scope"], found["out_of_scope"]) == (6, 4, 2)
    assert found["brier"] == pytest.approx(0.25)


def test_what_does_not_exist_is_left_out():
    inside = totals(judged([0], [0], [1.0]))
    assert "out_of_scope_recall" not in inside
    assert "out_of_scope_auroc" not in inside
    outside = totals(judged([NONE], [0], [1.0]))
    assert outside["out_of_scope_recall"] == 0.0
    assert "accuracy" not in outside
    assert len(reliability_of(judged([NONE], [0], [1.0]))) == 0


def test_by_route_and_confusions():
    found = judged([0, 0, 1, 1, NONE], [0, 1, 1, 0, 1], [1, 1, 1, -1, 1])
    first, second, third = by_route(found, 3)
    assert first == {"examples": 2, "recall": 0.5, "rejected": 0.0, "precision": 1.0}
    assert second == {
        "examples": 2, "recall": 0.5, "rejected": 0.5, "precision": pytest.approx(1 / 3),
    }  # fmt: skip
    assert third == {"examples": 0}
    assert worst_confusions(found) == [(NONE, 1, 1), (0, 1, 1)]
    assert worst_confusions(found, 1) == [(NONE, 1, 1)]


def test_auroc_counts_ties_half():
    assert auroc(np.array([1.0, 2.0]), np.array([1.0])) == 0.75


def test_reliability_bins_hold_every_request_in_scope():
    confidences = np.linspace(0.1, 1.0, 25)
    rows = reliability_of(judged([0] * 25, [0] * 25, [1] * 25, confidences))
    assert rows[:, 2].sum() == 25
    assert (np.diff(rows[:, 0]) > 0).all()
