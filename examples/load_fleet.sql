-- Registers the agents of fleet.json. Run it with psql in this folder; repeated, it changes them back.
\set ON_ERROR_STOP on
\set fleet `cat fleet.json`

SELECT count(ruvector_register_agent(
    name := name,
    agent_type := agent_type,
    capabilities := capabilities,
    cost_per_1k_tokens := cost_per_1k_tokens,
    cost_per_call := cost_per_call,
    avg_latency_ms := avg_latency_ms,
    quality_score := quality_score,
    metadata := metadata,
    cost_per_second := cost_per_second,
    cost_per_1k_output_tokens := cost_per_1k_output_tokens,
    max_concurrent := max_concurrent,
    tags := tags
)) AS registered
FROM jsonb_to_recordset(:'fleet') AS agent (
    name text,
    agent_type text,
    capabilities text[],
    cost_per_1k_tokens float8,
    cost_per_1k_output_tokens float8,
    cost_per_call float8,
    cost_per_second float8,
    avg_latency_ms float8,
    quality_score float8,
    max_concurrent integer,
    metadata jsonb,
    tags text[]
);
