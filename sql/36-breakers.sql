-- What the circuit breakers rest on: a ledger that is only appended to. Recording an outcome locks nothing, so
-- it never waits for another session and never deadlocks; the state is worked out when it is read, by
-- tiny_dancer.breaker_state(), and is the same for every session and on every standby. Successes are not noted
-- here: where they matter, they are found in tiny_dancer.usage.
-- Live state like the leases: a dump leaves it out.

CREATE TABLE tiny_dancer.breaker_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id bigint NOT NULL,
    happened_at timestamptz NOT NULL,
    event text NOT NULL CHECK (event IN ('failure', 'opened', 'closed')),
    retry_at timestamptz CHECK (retry_at >= happened_at AND retry_at < 'infinity'),
    openings integer CHECK (openings > 0),
    CHECK ((event = 'opened') = (retry_at IS NOT NULL)),
    CHECK ((event = 'opened') = (openings IS NOT NULL))
);
CREATE INDEX breaker_events_agent ON tiny_dancer.breaker_events (agent_id, happened_at, id);
CREATE INDEX breaker_events_transitions ON tiny_dancer.breaker_events (agent_id, happened_at, id)
    WHERE event IN ('opened', 'closed');
COMMENT ON TABLE tiny_dancer.breaker_events IS
    'failures that count for a circuit breaker, and its changes of state; see tiny_dancer.breaker_state()';
COMMENT ON COLUMN tiny_dancer.breaker_events.retry_at IS 'when the breaker that opened becomes half-open';
COMMENT ON COLUMN tiny_dancer.breaker_events.openings IS 'how often in a row it opened without having closed';
REVOKE ALL ON tiny_dancer.breaker_events FROM PUBLIC;
