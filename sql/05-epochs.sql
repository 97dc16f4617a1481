-- An epoch for each kind of thing that backends keep a copy of. A statement that changes such a thing moves
-- the epoch first (BEFORE, so that writers queue here and can not deadlock); its value comes from a sequence,
-- so a value that was rolled back is never used again.

CREATE SEQUENCE tiny_dancer.epoch_values AS bigint;
COMMENT ON SEQUENCE tiny_dancer.epoch_values IS 'source of epochs; a value is never used twice';

CREATE TABLE tiny_dancer.epochs (
    kind text PRIMARY KEY,
    epoch bigint NOT NULL
);
COMMENT ON TABLE tiny_dancer.epochs IS 'the present epoch of each kind of thing that backends cache';
REVOKE ALL ON tiny_dancer.epochs FROM PUBLIC;

INSERT INTO tiny_dancer.epochs (kind, epoch)
SELECT kind, pg_catalog.nextval('tiny_dancer.epoch_values')
FROM pg_catalog.unnest(ARRAY['agents', 'models', 'routes', 'settings']) AS kind;

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
