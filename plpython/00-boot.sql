-- The one place that knows where the library lies: a folder of this version under the server's own library
-- folder, which the running server itself states. It is not a setting, so no session can point it elsewhere,
-- and a server that was moved or copied finds the library beside its other libraries.
-- The file that is run there replaces the modules of another version: a session that outlives an update has them.

CREATE FUNCTION tiny_dancer.load_library() RETURNS boolean
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
import ctypes, importlib.util, os
file = importlib.util.spec_from_file_location('tiny_dancer_library', os.path.join(os.fsdecode((ctypes.c_char * 1024).in_dll(ctypes.CDLL(None), 'pkglib_path').value), 'tiny_dancer', '@VERSION@', 'tiny_dancer', 'pg', 'library.py'))
file.loader.exec_module(library := importlib.util.module_from_spec(file))
return library.load(plpy, '@VERSION@', GD)
$$;
COMMENT ON FUNCTION tiny_dancer.load_library() IS 'internal: loads the library of this version into the backend; see tiny_dancer.boot()';

CREATE FUNCTION tiny_dancer.boot() RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
BEGIN
    RETURN tiny_dancer.load_library();
EXCEPTION WHEN external_routine_exception THEN
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
    RAISE EXCEPTION 'the library of tiny_dancer @VERSION@ can not be loaded'
        USING ERRCODE = '58P01',
              DETAIL = problem,
              HINT = 'Run "make install" of this version on this host, with the Python that the server uses.';
END
$$;
COMMENT ON FUNCTION tiny_dancer.boot() IS 'internal: called once in each backend, before its first use of the library';
