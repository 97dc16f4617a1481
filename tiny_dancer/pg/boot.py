"""The first thing a backend imports: it sees to it that NumPy starts no threads."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tiny_dancer.embedding.native_libraries import quiet_native_load
from tiny_dancer.pg.numpy_import import import_numpy

if TYPE_CHECKING:
    from tiny_dancer.pg.extension import Extension


def start(plpy: Any, version: str) -> Extension:
    """Import the library and return its entry points; see ``extension.start``."""
    with quiet_native_load(), no_collection():
        import_numpy()
        from tiny_dancer.pg import extension
    return extension.start(plpy, version)


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
