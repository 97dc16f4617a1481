-- What every decision and every match asks before it uses the copy that its backend keeps. They are PL/pgSQL and have no
-- SET clause, for they are a good part of what a decision takes; every name is qualified, and there is no operator.
-- They are STABLE, so that a mark is read in the snapshot of the query that asks for it: whoever keeps a copy by it reads
-- the mark together with the epochs of what is copied.

CREATE FUNCTION tiny_dancer.registry_mark() RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
AS $$
DECLARE
    mark bigint;
    never boolean;
BEGIN
    IF pg_catalog.row_security_active('tiny_dancer.agents'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.agent_embeddings'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.capability_aliases'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.models'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.router_models'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.settings'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.epochs'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.usage'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.feedback'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.decisions'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.foreseen_outcomes'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.budgets'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.budget_charges'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.budget_holds'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.leases'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.breaker_events'::pg_catalog.regclass)
    THEN
        RETURN NULL;
    END IF;
    -- The second column is never executed. It is there for its names: rights to every column that a copy holds are
    -- checked with those of the rest of the query. Rights to live state are checked when it is read.
    -- Epochs are never used twice, so a hash of 64 bits differs where one of them does.
    SELECT pg_catalog.bit_xor(pg_catalog.hashtextextended(e.kind, e.epoch)),
           EXISTS (SELECT a.*, v.*, c.*, m.*, r.*, s.*
                   FROM tiny_dancer.agents a, tiny_dancer.agent_embeddings v, tiny_dancer.capability_aliases c,
                        tiny_dancer.models m, tiny_dancer.router_models r, tiny_dancer.settings s
                   WHERE false)
    INTO mark, never
    FROM tiny_dancer.epochs e;
    RETURN mark;
END
$$;
COMMENT ON FUNCTION tiny_dancer.registry_mark() IS
    'internal: another number after each change of what decisions rest on; NULL where row-level security hides some of it from the caller';

CREATE FUNCTION tiny_dancer.routes_mark() RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
AS $$
DECLARE
    mark bigint;
    never boolean;
BEGIN
    IF pg_catalog.row_security_active('tiny_dancer.routes'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.route_utterances'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.route_heads'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.agents'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.models'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.settings'::pg_catalog.regclass)
        OR pg_catalog.row_security_active('tiny_dancer.epochs'::pg_catalog.regclass)
    THEN
        RETURN NULL;
    END IF;
    -- As in registry_mark(). Of an agent a match tells only whether it is there.
    SELECT pg_catalog.bit_xor(pg_catalog.hashtextextended(e.kind, e.epoch)),
           EXISTS (SELECT r.*, u.*, h.*, a.name, a.active, a.removed_at, m.*, s.*
                   FROM tiny_dancer.routes r, tiny_dancer.route_utterances u, tiny_dancer.route_heads h,
                        tiny_dancer.agents a, tiny_dancer.models m, tiny_dancer.settings s
                   WHERE false)
    INTO mark, never
    FROM tiny_dancer.epochs e;
    RETURN mark;
END
$$;
COMMENT ON FUNCTION tiny_dancer.routes_mark() IS
    'internal: another number after each change of what matches rest on; NULL where row-level security hides some of it from the caller';
