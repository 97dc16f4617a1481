"""Decisions with exploration, recorded as the router records them, and what came of them."""

from __future__ import annotations

import json

from registration import call

# Of n decisions each of two agents takes every other one, with an even chance beforehand.
EVEN_CHANCES = """
WITH made AS (
    SELECT n, md5('decision ' || n)::uuid AS id,
           CASE n %% 2 WHEN 0 THEN one.id ELSE other.id END AS agent_id,
           ARRAY[one.id, other.id] AS candidates
    FROM generate_series(1, %(count)s) n, tiny_dancer.agents one, tiny_dancer.agents other
    WHERE (one.name, other.name) = (%(one)s, %(other)s)
          AND one.removed_at IS NULL AND other.removed_at IS NULL
), decided AS (
    INSERT INTO tiny_dancer.decisions (id, agent_id, optimize_for, routed_by, input_tokens,
        candidates, expected_quality, propensities, propensity)
    SELECT id, agent_id, 'cost', 'score', 10, candidates, '{0.9,0.6}', '{0.5,0.5}', 0.5 FROM made
), embedded AS (
    INSERT INTO tiny_dancer.request_vectors (decision_id, model_id, embedding)
    SELECT made.id, m.id, ruvector_embed('request ' || n %% 50)
    FROM made, tiny_dancer.models m WHERE m.active
)
INSERT INTO tiny_dancer.usage (agent_id, cost, success, decision_id)
SELECT agent_id, CASE n %% 2 WHEN 0 THEN 0.03 ELSE 0.002 END, n %% 2 = 0 OR n %% 4 = 1, id
FROM made ORDER BY n
"""


def record_evenly(session, one="gpt-4", other="llama-2", count=200):
    """Record decisions between two agents: one always succeeds for $0.03, the other half the time
    for $0.002."""
    session.execute(EVEN_CHANCES, {"one": one, "other": other, "count": count})


def replay(session, policy, **arguments):
    """Return the rows of a replay by estimator and measure."""
    rows = call(session, "ruvector_replay", policy=json.dumps(policy), **arguments)
    return {(row.estimator, row.measure): row for row in rows}
