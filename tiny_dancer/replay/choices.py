"""Which agent a policy would have chosen for each recorded decision, of its candidates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.batch import NOBODY, Requests, blocks, decide, estimate_block, score_block
from tiny_dancer.errors import UnknownObjectError, shown
from tiny_dancer.replay.logged_decisions import LoggedDecisions
from tiny_dancer.replay.policy import ReplayPolicy
from tiny_dancer.router import Estimate, Router

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Positions = NDArray[np.intp]


def choices(
    policy: ReplayPolicy,
    router: Router,
    decisions: LoggedDecisions,
    progress: Callable[[int], None] = lambda done: None,
) -> Positions:
    """Return the position of the agent that a policy chooses, for each decision, [n].

    Args:
        policy: how to choose.
        router: over a registry of all agents that were candidates, with what was known of their
            costs and latencies before the first decision. Where something was learned, qualities
            are what it expects of them, and else what was expected when it was decided.
        decisions: n recorded ones.
        progress: told how many decisions are done.

    NOBODY where no candidate meets the policy's constraints.

    Raises:
        UnknownObjectError: the policy names an agent that is not in the registry.
    """
    if policy.agent is not None:
        return _of_one_agent(policy.agent, router, decisions)
    chosen = np.full(len(decisions), NOBODY, dtype=np.intp)
    for block in blocks(len(decisions), len(router.registry)):
        chosen[block] = _block(policy, router, decisions, block)
        progress(block.stop)
    return chosen


def prices(router: Router, decisions: LoggedDecisions, agents: Positions) -> Floats:
    """Return the estimated dollars of an agent for each decision, NaN where unknown, [n].

    Args:
        router: see ``choices``.
        decisions: n recorded ones.
        agents: positions in the registry, [n].
    """
    performance = router.performance
    cost = router.registry.input_price[agents] * decisions.input_tokens
    cost += performance.constant_cost[agents]
    return np.where(performance.priced[agents], cost, np.nan)


def _of_one_agent(name: str, router: Router, decisions: LoggedDecisions) -> Positions:
    position = router.registry.position.get(name)
    if position is None:
        raise UnknownObjectError(
            f"unknown agent {shown(name)}", hint="Name a registered agent; the case counts."
        )
    everywhere = np.full(len(decisions), position, dtype=np.intp)
    return np.where(decisions.place_of(everywhere) >= 0, everywhere, NOBODY)


def _block(
    policy: ReplayPolicy,
    router: Router,
    decisions: LoggedDecisions,
    block: slice,
) -> Positions:
    requests = Requests(decisions.input_tokens, decisions.embeddings, decisions.lexical)
    estimate = estimate_block(router, requests.part(block))
    kept, expected = _recorded(decisions, block, len(router.registry))
    if router.learned is None:
        estimate = estimate._replace(expected_quality=expected)
    kept &= _allowed(policy, router, estimate)
    scores = score_block(
        router,
        estimate,
        kept,
        policy.optimize_for,
        policy.weights(router.weights),
        has_floor=policy.quality_floor is not None,
    )
    return decide(router, estimate, kept, scores).position


def _recorded(decisions: LoggedDecisions, block: slice, agents: int) -> tuple[Booleans, Floats]:
    """Return which agents were candidates, and what was expected of them, [b, a] both."""
    starts = decisions.starts[block.start : block.stop + 1]
    entries = slice(int(starts[0]), int(starts[-1]))
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    kept = np.zeros((len(starts) - 1, agents), dtype=bool)
    kept[rows, decisions.candidates[entries]] = True
    expected = np.zeros(kept.shape)
    expected[rows, decisions.candidates[entries]] = decisions.expected_quality[entries]
    return kept, expected


def _allowed(policy: ReplayPolicy, router: Router, estimate: Estimate) -> Booleans:
    """Return which agents meet the policy's own constraints, [b, a]."""
    allowed = np.ones(estimate.cost.shape, dtype=bool)
    # A comparison with NaN is false: what is unknown does not pass.
    if policy.quality_floor is not None:
        allowed &= estimate.expected_quality >= policy.quality_floor
    if policy.max_cost is not None:
        allowed &= estimate.cost <= policy.max_cost
    if policy.max_latency_ms is not None:
        allowed &= router.performance.latency_ms <= policy.max_latency_ms
    for name in policy.excluded_agents:
        position = router.registry.position.get(name)
        if position is not None:
            allowed[:, position] = False
    return allowed
