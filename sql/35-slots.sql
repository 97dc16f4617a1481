-- Who works on what at the moment. All of it is live state: it says nothing once the server has been dumped and
-- restored elsewhere, so a dump leaves it out and a restored server begins with every slot free.
-- No foreign keys, for the reason that tiny_dancer.usage has none.

-- The row of an agent is what takers of its slots queue at. It is updated with every lease, so a transaction
-- with an older snapshot gets 40001 instead of a slot too many.
CREATE TABLE tiny_dancer.agent_slots (
    agent_id bigint PRIMARY KEY,
    leases_taken bigint NOT NULL DEFAULT 0 CHECK (leases_taken >= 0)
);
COMMENT ON TABLE tiny_dancer.agent_slots IS 'the row that takers of an agent''s slots lock; how many leases it ever gave';
REVOKE ALL ON tiny_dancer.agent_slots FROM PUBLIC;

CREATE TABLE tiny_dancer.leases (
    id uuid PRIMARY KEY,
    agent_id bigint NOT NULL,
    acquired_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > acquired_at AND expires_at < 'infinity'),
    is_probe boolean NOT NULL
);
CREATE INDEX leases_agent ON tiny_dancer.leases (agent_id, expires_at);
COMMENT ON TABLE tiny_dancer.leases IS 'slots that are held; one whose time has passed is free again';
COMMENT ON COLUMN tiny_dancer.leases.id IS 'who knows it may renew and release the lease, so it is shown to administrators only';
COMMENT ON COLUMN tiny_dancer.leases.is_probe IS 'the one lease that a half-open circuit breaker let through';
REVOKE ALL ON tiny_dancer.leases FROM PUBLIC;
