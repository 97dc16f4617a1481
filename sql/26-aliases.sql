CREATE TABLE tiny_dancer.capability_aliases (
    alias text PRIMARY KEY CHECK (alias = pg_catalog.lower(pg_catalog.btrim(alias)) AND alias <> ''),
    capability text NOT NULL CHECK (pg_catalog.btrim(capability) <> '')
);
COMMENT ON TABLE tiny_dancer.capability_aliases IS
    'other names of capabilities; a required capability is met by an agent that has either';
REVOKE ALL ON tiny_dancer.capability_aliases FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.capability_aliases
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('agents');
ALTER TABLE tiny_dancer.capability_aliases ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.capability_aliases
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('agents');
ALTER TABLE tiny_dancer.capability_aliases ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.capability_aliases', '');
