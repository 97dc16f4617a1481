-- Other names of capabilities. Here an alias stands for a capability and never for another alias, so that a list of
-- aliases can be read without following chains. (Chains that were written to the table itself are followed.)

CREATE FUNCTION tiny_dancer.capability_name(capability text, what text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    trimmed text := btrim(capability);
BEGIN
    IF trimmed IS NULL OR length(trimmed) NOT BETWEEN 1 AND 200 OR trimmed ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION '% can not be %', what, coalesce(quote_literal(left(capability, 80)), 'NULL')
            USING ERRCODE = '22023', HINT = 'Give 1 to 200 printable characters.';
    END IF;
    RETURN trimmed;
END
$$;
COMMENT ON FUNCTION tiny_dancer.capability_name(text, text) IS 'internal: a capability or an alias without white space around it, checked';

CREATE FUNCTION @extschema@.ruvector_set_capability_alias(alias text, capability text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_alias text := lower(tiny_dancer.capability_name(alias, 'alias'));
    meant text := tiny_dancer.capability_name(capability, 'capability');
    other tiny_dancer.capability_aliases;
BEGIN
    INSERT INTO tiny_dancer.capability_aliases VALUES (new_alias, meant)
    ON CONFLICT ON CONSTRAINT capability_aliases_pkey DO UPDATE SET capability = excluded.capability;
    -- Looked at afterwards: writers queue at the epoch, so this sees what the one before has written.
    SELECT c.* INTO other
    FROM tiny_dancer.capability_aliases c
    WHERE c.alias = lower(meant) OR lower(btrim(c.capability)) = new_alias
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'alias % for % would be an alias of an alias', quote_literal(new_alias), quote_literal(meant)
            USING ERRCODE = '22023',
                  DETAIL = format('Alias %L stands for %L.', other.alias, other.capability),
                  HINT = 'Let every alias stand for a capability that agents are registered with.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_set_capability_alias(text, text) IS
    'makes an alias stand for a capability, or for another one than before; case does not matter';

CREATE FUNCTION @extschema@.ruvector_drop_capability_alias(alias text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM tiny_dancer.capability_aliases c
    WHERE c.alias = lower(btrim(ruvector_drop_capability_alias.alias));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'unknown capability alias %', coalesce(quote_literal(alias), 'NULL')
            USING ERRCODE = '42704', HINT = 'ruvector_list_capability_aliases() shows them.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_drop_capability_alias(text) IS 'removes an alias of a capability';

CREATE FUNCTION @extschema@.ruvector_list_capability_aliases(OUT alias text, OUT capability text) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    SELECT c.alias, c.capability
    FROM tiny_dancer.capability_aliases c
    ORDER BY lower(c.capability) COLLATE "C", c.alias COLLATE "C";
END;
COMMENT ON FUNCTION @extschema@.ruvector_list_capability_aliases() IS 'the aliases by the capability they stand for';
