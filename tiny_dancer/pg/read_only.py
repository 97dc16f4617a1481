"""Refusing early what could not be written in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiny_dancer.errors import ReadOnlyError

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

# Every name is qualified: some that ask run on the caller's search path.
IS_READ_ONLY = """
SELECT pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool AS is_read_only
"""


def require_writable(backend: Backend, what: str) -> None:
    """Let only a transaction pass that may write.

    Args:
        backend: of this process.
        what: is to be done, as an infinitive.

    Raises:
        ReadOnlyError: this one may not.
    """
    row: Any = backend.row(IS_READ_ONLY)
    if row["is_read_only"]:
        raise ReadOnlyError(
            f"can not {what} in a read-only transaction",
            hint="Use a transaction that may write, on the primary.",
        )
