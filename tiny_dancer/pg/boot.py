"""What starts the library in a backend: it sees to it that NumPy starts no threads."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tiny_dancer
from tiny_dancer.embedding.native_libraries import quiet_native_load
from tiny_dancer.errors import NotReadyError
from tiny_dancer.pg import library
from tiny_dancer.pg.boundary import as_server_error, server_error_class
from tiny_dancer.pg.numpy_import import import_numpy

# What the bodies of this session share, once this version was loaded for them.
SHARED: list[dict[str, Any]] = []


def start(plpy: Any, version: str, bodies: dict[str, Any] | None = None) -> Any:
    """Import the library and return its entry points; see ``extension.start``.

    The SQL of 0.1.0 calls this by itself, with two arguments. It finds this version in a session
    that called it in the transaction of an update and then rolled the update back.

    Args:
        plpy: the module of PL/Python.
        version: of the extension in this database.
        bodies: what all PL/Python bodies of the session share; see ``library.load``.
    """
    if bodies is None:
        return start_again(plpy, version)
    refuse_other_releases(plpy, version, library.own_folder())
    SHARED.append(bodies)
    with quiet_native_load(), no_collection():
        import_numpy()
        from tiny_dancer.pg import extension
    return extension.start(plpy, version)


def start_again(plpy: Any, version: str) -> Any:
    """Give way to another version, whose folder lies beside this one's, and start that."""
    folder = os.path.join(os.path.dirname(library.own_folder()), version)
    refuse_other_releases(plpy, version, folder)
    with library.only_version(folder) as gives_way:
        boot = importlib.import_module(f"{library.PACKAGE}.pg.boot")
        started = boot.start(plpy, version)
    # Its entry points would import modules of the other version from now on.
    for bodies in SHARED:
        bodies.pop(f"{library.PACKAGE}/{tiny_dancer.__version__}", None)
    library.forget(gives_way)
    return started


def refuse_other_releases(plpy: Any, version: str, folder: str) -> None:
    """Raise 55000 where a version comes with other compiled packages than this session holds."""
    packages = library.foreign_packages(folder)
    if packages:
        raise as_server_error(
            NotReadyError(
                f"this session can not change over to version {version} of tiny_dancer",
                detail=f"It holds another release of {', '.join(packages)} than that version "
                "comes with.",
                hint="Reconnect.",
            ),
            server_error_class(plpy),
        )


@contextmanager
def no_collection() -> Iterator[None]:
    """Import without looking for garbage, and never look among what was imported.

    Modules stay for the life of the backend: looking through them takes a twentieth of their import
    and, later, milliseconds out of a call now and then.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
