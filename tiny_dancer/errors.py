"""The errors of this package, each with the SQLSTATE it carries out of the server.

The package raises them without knowing PostgreSQL; ``tiny_dancer.pg.boundary`` turns
them into server errors. The message is lower-case without a full stop, ``detail`` and
``hint`` are sentences. A raised error never carries a stack trace to the user.
"""

from __future__ import annotations

MOST_CHARACTERS_SHOWN = 80


def shown(value: object) -> str:
    """Return an offending value as a message shows it: quoted, and cut where it is long.

    What Python calls None is NULL to whoever wrote the SQL.
    """
    text = "NULL" if value is None else repr(value)
    if len(text) <= MOST_CHARACTERS_SHOWN:
        return text
    return f"{text[:MOST_CHARACTERS_SHOWN]} [...]"


class TinyDancerError(Exception):
    """Base of all errors that a user is meant to see.

    Args:
        message: what is wrong, with the offending value.
        detail: a sentence with more of the facts.
        hint: a sentence that says what to do.
    """

    sqlstate = "XX000"

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint


class InvalidArgumentError(TinyDancerError, ValueError):
    """An argument has a value that makes no sense (22023)."""

    sqlstate = "22023"


class UnknownObjectError(TinyDancerError, LookupError):
    """No agent, route or model has that name (42704)."""

    sqlstate = "42704"


class DuplicateObjectError(TinyDancerError):
    """The name is taken (42710)."""

    sqlstate = "42710"


class NoSuitableAgentError(TinyDancerError):
    """Every agent was removed by some constraint (TD001)."""

    sqlstate = "TD001"


class BudgetExhaustedError(TinyDancerError):
    """A budget does not admit the cost (TD002)."""

    sqlstate = "TD002"


class NoFreeSlotError(TinyDancerError):
    """Every slot of the pool or agent is taken (TD003)."""

    sqlstate = "TD003"


class NotReadyError(TinyDancerError):
    """Nothing to work with yet: no active model, another version is loaded (55000)."""

    sqlstate = "55000"


class MissingFileError(TinyDancerError):
    """A package or a model file is missing or damaged on this host (58P01)."""

    sqlstate = "58P01"


class ReadOnlyError(TinyDancerError):
    """Recording was asked for where nothing can be written (25006)."""

    sqlstate = "25006"


class EmbedderConnectionError(TinyDancerError):
    """The connection to the embedder process broke, or no answer came in time (08006)."""

    sqlstate = "08006"


class EmbedderBusyError(TinyDancerError):
    """The embedder process has more work waiting than it admits; trying again may help (53000)."""

    sqlstate = "53000"


class MissingRightError(TinyDancerError):
    """The caller may not read what was asked for (42501)."""

    sqlstate = "42501"
