-- The fixed schema of tables and internal functions. Functions that users call by name go into the schema
-- that the installer chooses, @extschema@.
-- Everything here is created without OR REPLACE and IF NOT EXISTS, so that nothing that somebody planted
-- beforehand is adopted.

CREATE SCHEMA tiny_dancer;
COMMENT ON SCHEMA tiny_dancer IS 'tables and internal functions of the tiny_dancer extension';
REVOKE ALL ON SCHEMA tiny_dancer FROM PUBLIC;
