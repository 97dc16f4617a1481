"""Outcomes of two agents of which each suits another kind of request, to train a router from."""

from __future__ import annotations

from registration import call, register

# The adder is right on sums, the poet on poems; neither always.
JUDGED = """
SELECT CASE kind WHEN 0 THEN 'Add up the numbers ' ELSE 'Write a poem about item ' END || n
           AS request,
       agent AS agent_name,
       CASE WHEN n % 10 = 0 THEN 0.5 WHEN (agent = 'adder') = (kind = 0) THEN 0.9 ELSE 0.1 END
           ::float8 AS quality
FROM generate_series(1, {requests}) AS n, LATERAL (SELECT n % 2) AS k (kind),
     unnest(ARRAY['adder', 'poet']) AS agent
"""
SUM, POEM = "Add up the numbers 3 and 4", "Write a poem about item seven"


def judged(requests=200, where="true"):
    return f"SELECT * FROM ({JUDGED.format(requests=requests)}) AS j WHERE {where}"


def register_two(session, quality_score=0.5):
    for name in ("adder", "poet"):
        register(session, name, quality_score=quality_score, cost_per_call=0.01)


def train(session, query=None, **options):
    """Train on judged requests, by least squares: that takes no time."""
    options = {"query": query or judged(), "predictor": "ridge", **options}
    [row] = call(session, "ruvector_train_router", **options)
    return row


def models(session):
    """Id and whether it is active, of all models."""
    query = "SELECT id, active FROM tiny_dancer.router_models ORDER BY id"
    return [tuple(row) for row in session.execute(query)]


def predicted(session, request, **arguments):
    """Expected quality by the name of the agent."""
    rows = call(session, "ruvector_predict_quality", request=request, **arguments)
    return {row.agent_name: row.expected_quality for row in rows}
