-- An epoch for each kind of thing that backends keep a copy of. A statement that changes such a thing moves
-- the epoch first (BEFORE, so that writers queue here and can not deadlock) and once more when it is done
-- (AFTER, since a decision made inside the statement saw the first new epoch and the old rows). The value
-- comes from a sequence, so one that was rolled back is never used again.

CREATE SEQUENCE tiny_dancer.epoch_values AS bigint;
COMMENT ON SEQUENCE tiny_dancer.epoch_values IS 'source of epochs; a value is never used twice';
-- Nor is it after the extension was dropped and created again: a session may live through both.
SELECT pg_catalog.setval(
    'tiny_dancer.epoch_values',
    (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint
);

CREATE TABLE tiny_dancer.epochs (
    kind text PRIMARY KEY,
    epoch bigint NOT NULL
);
COMMENT ON TABLE tiny_dancer.epochs IS 'the present epoch of each kind of thing that backends cache';
REVOKE ALL ON tiny_dancer.epochs FROM PUBLIC;

INSERT INTO tiny_dancer.epochs (kind, epoch)
SELECT kind, pg_catalog.nextval('tiny_dancer.epoch_values')
FROM pg_catalog.unnest(ARRAY['agents', 'classifiers', 'models', 'router_models', 'routes', 'settings']) AS kind;

CREATE FUNCTION tiny_dancer.advance_epoch() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE tiny_dancer.epochs SET epoch = nextval('tiny_dancer.epoch_values') WHERE kind = TG_ARGV[0];
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tiny_dancer.advance_epoch() IS 'trigger: moves the epoch of the kind named by its argument';
