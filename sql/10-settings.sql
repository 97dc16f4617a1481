CREATE TABLE tiny_dancer.settings (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z_0-9]{0,62}$'),
    value text NOT NULL CHECK (pg_catalog.length(value) BETWEEN 1 AND 200)
);
COMMENT ON TABLE tiny_dancer.settings IS
    'settings that differ from their defaults; change them with tiny_dancer.set(), see tiny_dancer.list_settings()';
REVOKE ALL ON tiny_dancer.settings FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.settings
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('settings');
ALTER TABLE tiny_dancer.settings ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.settings
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('settings');
ALTER TABLE tiny_dancer.settings ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.settings', '');
