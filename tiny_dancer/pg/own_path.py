"""Our own SQL inside a function that runs on the caller's search path.

What reads a query of the caller's has no SET clause, so that the query finds the caller's tables.
Whatever else such a function does must not: a schema of the caller's path could hold functions and
operators that are called instead of the server's, with the caller's rights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

# Every name is qualified: this runs on the caller's path.
PRESENT = "SELECT pg_catalog.current_setting('search_path') AS path"
SET = "SELECT pg_catalog.set_config('search_path', $1, true)"
OWN_PATH = "pg_catalog, pg_temp"


@contextmanager
def own_path(backend: Backend) -> Iterator[None]:
    """Run what is inside on the path that every other function of ours is pinned to.

    An error needs no way back: it undoes the setting with everything else.
    """
    present: Any = backend.row(PRESENT)
    backend.rows(SET, ("pg_catalog.text",), OWN_PATH)
    yield
    backend.rows(SET, ("pg_catalog.text",), present["path"])
