-- What was learned of the semantic routes. Weights are raw 32-bit floats with their shapes and a checksum.

CREATE TABLE tiny_dancer.route_heads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id bigint NOT NULL REFERENCES tiny_dancer.models ON DELETE CASCADE,
    route_ids bigint[] NOT NULL CHECK (pg_catalog.cardinality(route_ids) >= 1),
    fingerprints text[] NOT NULL CHECK (pg_catalog.cardinality(fingerprints) = pg_catalog.cardinality(route_ids)),
    weights bytea NOT NULL,
    metrics jsonb NOT NULL,
    acceptance float8 NOT NULL CHECK (acceptance BETWEEN 0.5 AND 1),
    seed bigint NOT NULL CHECK (seed >= 0),
    fitted_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    active boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX route_heads_one_active ON tiny_dancer.route_heads (model_id) WHERE active;
COMMENT ON TABLE tiny_dancer.route_heads IS 'fits of the semantic routes to examples, of each model at most one active';
COMMENT ON COLUMN tiny_dancer.route_heads.route_ids IS 'the routes fitted, in the order of the weights; some may be gone';
COMMENT ON COLUMN tiny_dancer.route_heads.fingerprints IS
    'checksum of the vectors of each route; one that has others now is matched by its similarity';
COMMENT ON COLUMN tiny_dancer.route_heads.weights IS 'weights with their shapes and checksum; see tiny_dancer.weights in the package';
COMMENT ON COLUMN tiny_dancer.route_heads.metrics IS 'what was measured on examples while they were held back';
REVOKE ALL ON tiny_dancer.route_heads FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_heads
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_heads ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_heads
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_heads ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.route_heads', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.route_heads_id_seq', '');
