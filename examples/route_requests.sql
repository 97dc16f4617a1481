-- Routes the requests of requests.json. Run it with psql in this folder, after load_fleet.sql.
\set ON_ERROR_STOP on
\set requests `cat requests.json`

CREATE TEMPORARY TABLE example_requests AS
SELECT *
FROM jsonb_to_recordset(:'requests') AS request (
    request text,
    optimize_for text,
    required_capabilities text[],
    max_cost float8,
    max_latency_ms float8,
    min_quality float8,
    excluded_agents text[],
    budget_remaining float8,
    quality_floor float8
);

-- A request that no agent fits is an error (TD001) and would end the statement: ask first which have candidates.
CREATE TEMPORARY TABLE routed AS
SELECT r.request, chosen.agent_name, chosen.estimated_cost, chosen.expected_quality
FROM example_requests r
LEFT JOIN LATERAL (
    SELECT e.agent_name, e.estimated_cost, e.expected_quality
    FROM ruvector_explain_route(
        request := r.request,
        optimize_for := coalesce(r.optimize_for, 'balanced'),
        required_capabilities := r.required_capabilities,
        max_cost := r.max_cost,
        max_latency_ms := r.max_latency_ms,
        min_quality := r.min_quality,
        excluded_agents := r.excluded_agents,
        budget_remaining := r.budget_remaining,
        quality_floor := r.quality_floor
    ) AS e
    WHERE e.rank = 1
) AS chosen ON true;

SELECT coalesce(agent_name, '(no agent fits)') AS agent, count(*) AS requests,
       round(sum(estimated_cost)::numeric, 5) AS estimated_cost,
       round(avg(expected_quality)::numeric, 2) AS expected_quality
FROM routed
GROUP BY agent_name
ORDER BY requests DESC, agent;
