-- Equal similarity: cost, quality and latency each have their winner.
SELECT target, r.agent_name, r.routed_by, r.confidence_basis
FROM unnest(ARRAY['cost', 'quality', 'latency']) AS target, LATERAL ruvector_route('Write code', target) AS r
ORDER BY 1;
SELECT agent_name, kept, removed_by FROM ruvector_explain_route('Write code', 'quality', max_cost := 0.001);
SELECT ordinal, agent_name, error FROM ruvector_batch_route('{Write code,NULL,Write more code}', 'cost');
-- A decision, its outcome, and what the analytics make of it.
SELECT ruvector_record_usage('gpt-4', actual_cost := 0.012, success := true, latency_ms := 1840) IS NOT NULL AS recorded;
SELECT agent, total_requests, total_cost, success_rate FROM ruvector_routing_analytics(time_range := '7 days');
\set VERBOSITY terse
SELECT agent_name FROM ruvector_route('Write code', 'fame');
SELECT agent_name FROM ruvector_route('Write code', excluded_agents := '{gpt-4,gpt-3.5,llama-2}');
DROP EXTENSION tiny_dancer;
SELECT count(*) FROM pg_namespace WHERE nspname = 'tiny_dancer';
