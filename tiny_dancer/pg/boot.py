"""The first thing a backend imports: it sees to it that NumPy starts no threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiny_dancer.embedding.native_libraries import quiet_native_load
from tiny_dancer.pg.numpy_import import import_numpy

if TYPE_CHECKING:
    from tiny_dancer.pg.extension import Extension


def start(plpy: Any, version: str) -> Extension:
    """Import the library and return its entry points; see ``extension.start``."""
    with quiet_native_load():
        import_numpy()
        from tiny_dancer.pg import extension
    return extension.start(plpy, version)
