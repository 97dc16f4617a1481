-- Budgets, and what is held and spent of them.
-- There is no counter: a counter is a row that every recording session waits for, and two transactions that
-- record for two agents in different order would deadlock on it. Spend is rows that are only added, so whoever
-- records waits for nobody; from time to time rows of one window are replaced by their sum. Only admission takes a
-- lock, on the budgets it concerns, in the order of their ids.
-- Amounts are numeric: sums of float8 drift, and ten times 0.1 would not fit a limit of 1.

CREATE TABLE tiny_dancer.budgets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_name text CHECK (pg_catalog.length(agent_name) BETWEEN 1 AND 200),
    tag text CHECK (pg_catalog.length(tag) BETWEEN 1 AND 200),
    scope text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN agent_name IS NOT NULL THEN 'agent:' || agent_name
             WHEN tag IS NOT NULL THEN 'tag:' || tag
             ELSE 'overall' END) STORED,
    period text NOT NULL CHECK (period IN ('hour', 'day', 'month')),
    limit_amount numeric NOT NULL CHECK (limit_amount >= 0 AND limit_amount < 'Infinity'),
    time_zone text NOT NULL DEFAULT 'UTC',
    opened_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CHECK (agent_name IS NULL OR tag IS NULL),
    CONSTRAINT budgets_scope_period UNIQUE (scope, period)
);
COMMENT ON TABLE tiny_dancer.budgets IS
    'limits of spend in dollars per hour, day or month, of an agent''s name, of a tag, or overall';
COMMENT ON COLUMN tiny_dancer.budgets.agent_name IS
    'a name and not an agent: removing an agent and registering its name again erases no spend';
COMMENT ON COLUMN tiny_dancer.budgets.opened_at IS
    'when what had been spent before was counted; a row that brings it along (from a dump) is not opened again';
REVOKE ALL ON tiny_dancer.budgets FROM PUBLIC;

CREATE TABLE tiny_dancer.budget_charges (
    budget_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    amount numeric NOT NULL CHECK (amount >= 0 AND amount < 'Infinity'),
    overshoot numeric NOT NULL DEFAULT 0 CHECK (overshoot >= 0 AND overshoot < 'Infinity')
);
CREATE INDEX budget_charges_window ON tiny_dancer.budget_charges (budget_id, window_start);
COMMENT ON TABLE tiny_dancer.budget_charges IS 'what was spent of budgets, by window; rows of one window may be merged';
COMMENT ON COLUMN tiny_dancer.budget_charges.overshoot IS 'by how much actual costs exceeded their reservations';
REVOKE ALL ON tiny_dancer.budget_charges FROM PUBLIC;

CREATE TABLE tiny_dancer.reservations (
    id uuid PRIMARY KEY,
    agent_name text NOT NULL,
    tags text[] NOT NULL,
    amount numeric NOT NULL CHECK (amount >= 0 AND amount < 'Infinity'),
    reserved_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'settled', 'released')),
    actual_cost numeric CHECK (actual_cost >= 0 AND actual_cost < 'Infinity'),
    ended_at timestamptz,
    usage_id bigint,
    CHECK ((state = 'held') = (ended_at IS NULL)),
    CHECK ((state = 'settled') = (actual_cost IS NOT NULL))
);
CREATE INDEX reservations_ended ON tiny_dancer.reservations (ended_at) WHERE usage_id IS NULL;
CREATE INDEX reservations_held ON tiny_dancer.reservations (expires_at) WHERE state = 'held';
COMMENT ON TABLE tiny_dancer.reservations IS 'amounts set aside before an agent is called, and how they ended';
COMMENT ON COLUMN tiny_dancer.reservations.usage_id IS 'the first outcome that named the reservation';
REVOKE ALL ON tiny_dancer.reservations FROM PUBLIC;

CREATE TABLE tiny_dancer.budget_holds (
    reservation_id uuid NOT NULL,
    budget_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    amount numeric NOT NULL CHECK (amount >= 0 AND amount < 'Infinity'),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (reservation_id, budget_id)
);
CREATE INDEX budget_holds_window ON tiny_dancer.budget_holds (budget_id, window_start, expires_at);
COMMENT ON TABLE tiny_dancer.budget_holds IS
    'what reservations hold of each budget; an expired hold counts no more, whether it still stands here or not';
REVOKE ALL ON tiny_dancer.budget_holds FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.budgets', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.budgets_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.budget_charges', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.reservations', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.budget_holds', '');
