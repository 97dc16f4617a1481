import numpy as np

from tiny_dancer.predictors.log_odds_pool import LogOddsPool


def made_up(rows=2000, seed=0):
    """True log-odds, and outcomes drawn from them, [n, 1] both."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(0.5, 1.0, (rows, 1))
    targets = (generator.random((rows, 1)) < said(odds)).astype(np.float64)
    return odds, targets, np.ones((rows, 1), dtype=bool)


def said(odds):
    return 1.0 / (1.0 + np.exp(-odds))


def test_who_knows_more_weighs_more():
    odds, targets, mask = made_up()
    noise = np.random.default_rng(1).normal(0.0, 1.0, odds.shape)
    pool = LogOddsPool.fit(said(np.stack([odds, noise])), targets, mask)
    assert pool.weights[0] > 0.8
    assert 0.0 <= pool.weights[1] < 0.1


def test_a_single_overconfident_member_is_toned_down_and_shifted():
    odds, targets, mask = made_up()
    pool = LogOddsPool.fit(said(3.0 * odds - 1.5)[None], targets, mask)
    pooled = pool.transform(said(3.0 * odds - 1.5)[None])
    assert abs(pool.weights[0] - 1.0 / 3.0) < 0.05
    assert np.abs(pooled - said(odds)).mean() < 0.03


def test_members_that_saw_different_halves_are_surer_together():
    generator = np.random.default_rng(2)
    halves = generator.normal(0.0, 1.0, (2, 3000, 1))
    targets = (generator.random((3000, 1)) < said(halves.sum(axis=0))).astype(np.float64)
    pool = LogOddsPool.fit(said(halves), targets, np.ones(targets.shape, dtype=bool))
    np.testing.assert_allclose(pool.weights, 1.0, atol=0.15)


def test_a_few_outcomes_leave_the_plain_mean():
    predictions = said(np.array([[[2.0]], [[-1.0]]]))
    pool = LogOddsPool.fit(predictions, np.array([[1.0]]), np.ones((1, 1), dtype=bool))
    np.testing.assert_allclose(pool.weights, 0.5, atol=0.1)


def test_what_was_not_observed_plays_no_part():
    odds, targets, mask = made_up(rows=300)
    mask[100:] = False
    predictions = said(np.stack([odds, -odds]))
    whole = LogOddsPool.fit(predictions, targets, mask)
    part = LogOddsPool.fit(predictions[:, :100], targets[:100], mask[:100])
    np.testing.assert_allclose(whole.weights, part.weights, atol=1e-6)


def test_members_that_are_all_wrong_still_rank():
    odds, targets, mask = made_up()
    pool = LogOddsPool.fit(said(-odds)[None], targets, mask)
    assert pool.weights.sum() > 0.0
