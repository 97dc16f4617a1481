SELECT ruvector_register_agent(name := 'gpt-4', agent_type := 'llm', capabilities := ARRAY['code'],
    cost_per_1k_tokens := 0.03, avg_latency_ms := 500, quality_score := 0.95);
SELECT ruvector_register_agent(name := 'gpt-3.5', agent_type := 'llm', capabilities := ARRAY['code'],
    cost_per_1k_tokens := 0.002, avg_latency_ms := 200, quality_score := 0.75);
SELECT ruvector_register_agent(name := 'llama-2', agent_type := 'llm', capabilities := ARRAY['code'],
    cost_per_1k_tokens := 0, avg_latency_ms := 800, quality_score := 0.70);
SELECT name, agent_type, capabilities, cost_per_1k_tokens, avg_latency_ms, quality_score, total_requests, active
FROM ruvector_list_agents();
-- Registering again changes what was passed.
SELECT ruvector_register_agent('gpt-4', 'llm', '{code,analysis}', quality_score := 0.97);
SELECT ruvector_get_agent('gpt-4') - 'created_at' - 'updated_at' - 'tags' - 'metadata';
SELECT ruvector_set_agent_active('gpt-4', false);
SELECT name FROM ruvector_list_agents() WHERE active;
SELECT ruvector_set_agent_active('gpt-4', true);
\set VERBOSITY terse
SELECT ruvector_register_agent('x', 'robot', '{}');
SELECT ruvector_register_agent('x', 'llm', '{}', quality_score := 1.5);
SELECT ruvector_register_agent('x', 'llm', '{}', cost_per_call := 'NaN');
SELECT ruvector_remove_agent('nobody');
