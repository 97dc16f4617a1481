"""A replay from end to end: it holds the truth of a made-up world, and refuses too little."""

import numpy as np
import pytest
from logs import logged

from tiny_dancer.batch import NOBODY
from tiny_dancer.errors import NotReadyError
from tiny_dancer.replay.report import replay
from tiny_dancer.replay.reward_models import Guesses, RewardModels, reward_inputs


def always(agent):
    return lambda decisions: np.full(len(decisions), agent)


def priceless(decisions, agents):
    return np.full(len(decisions), np.nan)


def even_log(count=300, seed=0, **columns):
    """Two agents drawn with even chances; the first succeeds at 0.9, the second at 0.5."""
    generator = np.random.default_rng(seed)
    chosen = generator.integers(2, size=count)
    quality = generator.random(count) < np.where(chosen == 0, 0.9, 0.5)
    cost = np.where(chosen == 0, 0.03, 0.001)
    return logged(np.full((count, 2), 0.5), chosen, quality, cost, **columns)


def values(report):
    return {(row.estimator, row.measure): row.value for row in report.estimates}


@pytest.mark.parametrize(("agent", "quality", "cost"), [(0, 0.9, 0.03), (1, 0.5, 0.001)])
def test_the_truth_lies_within(agent, quality, cost):
    found = values(replay(even_log(), always(agent), priceless, 2))
    assert len(found) == 4
    for (_, measure), value in found.items():
        true = quality if measure == "quality" else cost
        assert value.low <= true <= value.high or value.estimate == pytest.approx(true)


def test_outcomes_that_stay_out_do_not_bias_the_estimate():
    # Hard requests fail more often, and their outcomes come back less often.
    log = even_log(4000, lexical=np.repeat([[0.0], [1.0]], 2000, axis=0).astype(np.float32))
    generator = np.random.default_rng(5)
    hard = log.lexical[:, 0] == 1.0
    quality = (generator.random(4000) < np.where(hard, 0.3, 0.9)).astype(float)
    quality[hard & (generator.random(4000) < 0.7)] = np.nan
    log = _with(log, quality)
    for (_, measure), value in values(replay(log, always(0), priceless, 2)).items():
        if measure == "quality":
            assert value.low <= 0.6 <= value.high
            assert value.high - value.low < 0.1


def _with(log, quality):
    columns = {name: getattr(log, name) for name in log.__dataclass_fields__}
    return type(log)(**(columns | {"quality": quality}))


def test_the_recorded_choice_stands_where_the_policy_can_choose_nobody():
    report = replay(even_log(), always(NOBODY), priceless, 2)
    assert (report.agreement, report.unserved) == (1.0, 1.0)
    for row in report.estimates:
        assert row.value.estimate == pytest.approx(row.observed)
        assert row.effective_sample_size == pytest.approx(300)


def test_the_same_log_and_seed_give_the_same():
    first, second = (replay(even_log(), always(0), priceless, 2) for _ in range(2))
    assert first == second


def test_certain_decisions_are_left_out_and_counted():
    log = even_log()
    columns = {name: getattr(log, name) for name in log.__dataclass_fields__}
    certain = np.arange(300) % 3 == 0
    probabilities = log.probabilities.reshape(300, 2).copy()
    probabilities[certain] = np.eye(2)[log.chosen[certain]]
    columns["probabilities"] = probabilities.ravel()
    report = replay(type(log)(**columns), always(0), priceless, 2)
    assert (report.decisions, report.not_explored) == (200, 100)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (logged(np.zeros((0, 2)), []), "no recorded decisions"),
        (logged(np.tile([1.0, 0.0], (300, 1)), np.zeros(300)), r"none .* was explored"),
        (logged(np.ones((300, 1)), np.zeros(300)), r"none .* was explored"),
        (even_log(99), "too little"),
        (logged(np.tile([0.05, 0.95], (300, 1)), np.ones(300)), "too little"),
        (_with(even_log(), np.full(300, np.nan)), "too little"),
    ],
    ids=["nothing", "certain", "one agent", "few", "nothing in common", "no outcomes"],
)
def test_too_little_is_refused(log, message):
    with pytest.raises(NotReadyError, match=message) as caught:
        replay(log, always(0), priceless, 2)
    assert caught.value.hint


def test_reward_models_do_not_see_what_they_predict():
    log = even_log(400)
    parts = [np.arange(0, 400, 2), np.arange(1, 400, 2)]
    guesses = Guesses(np.zeros(400), proportional=False)
    models = RewardModels.fit(reward_inputs(log), log.chosen, log.quality, guesses, parts, 2)
    changed = log.quality.copy()
    changed[parts[0]] = 1.0 - changed[parts[0]]
    others = RewardModels.fit(reward_inputs(log), log.chosen, changed, guesses, parts, 2)
    before, after = (m.predict(log.chosen, np.zeros(400)) for m in (models, others))
    np.testing.assert_array_equal(before[parts[0]], after[parts[0]])
    assert not np.allclose(before[parts[1]], after[parts[1]])


def test_costs_follow_the_price_list_in_proportion():
    log = even_log(400)
    prices = np.linspace(0.01, 0.05, 400)
    guesses = Guesses(prices, proportional=True)
    parts = [np.arange(0, 400, 2), np.arange(1, 400, 2)]
    models = RewardModels.fit(reward_inputs(log), log.chosen, 3 * prices, guesses, parts, 3)
    np.testing.assert_allclose(models.predict(log.chosen, prices), 3 * prices, rtol=0.02)
    # Of an agent that was never chosen no more is known than of all.
    np.testing.assert_allclose(models.predict(np.full(400, 2), prices), 3 * prices, rtol=0.02)
