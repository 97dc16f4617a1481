"""The right to read what recorded requests meant, which is granted apart from everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiny_dancer.errors import MissingRightError

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

MAY_READ = """
SELECT pg_catalog.has_table_privilege('tiny_dancer.request_vectors', 'SELECT') AS may_read
"""


def require_vectors(backend: Backend, what: str) -> None:
    """Let only a caller pass who may read the vectors of recorded requests.

    Args:
        backend: of this process.
        what: is to be done, as an infinitive.

    Raises:
        MissingRightError: this one may not.
    """
    row: Any = backend.row(MAY_READ)
    if not row["may_read"]:
        raise MissingRightError(
            f"the vectors of recorded requests are not for this role to {what} by",
            detail="They are as sensitive as the text of the requests.",
            hint="As their owner, GRANT SELECT ON tiny_dancer.request_vectors TO the role.",
        )
