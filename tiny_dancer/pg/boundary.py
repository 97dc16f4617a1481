"""The edge of the server: the package's errors become server errors with their SQLSTATE."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tiny_dancer.errors import TinyDancerError


def server_error_class(plpy: Any) -> type[Exception]:
    """Return the exception class whose instances the server reports as ours.

    PL/Python puts the name of an exception's class before its message, with the module unless that
    is ``builtins``. Named so, a message reads "tiny_dancer: no agent fits the request".
    """
    return type("tiny_dancer", (plpy.Error,), {"__module__": "builtins"})


def entry_point(function: Callable[..., Any], backend: Any) -> Callable[..., Any]:
    """Return the function with its backend bound and its errors turned into server errors.

    Errors that PostgreSQL itself raised (a cancel, a missing right, a serialisation failure) pass
    as they are, and those of a function of ours that SQL of ours called read as if it had been
    called alone.
    """
    server_error = backend.server_error

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(backend, *arguments)
        except TinyDancerError as error:
            raise as_server_error(error, server_error) from None
        except backend.plpy.SPIError as error:
            raise of_inner_call(error, server_error) from None

    return call


def of_inner_call(error: Any, server_error: type[Exception]) -> Exception:
    """Return an error that SQL raised, without what PL/Python put before its message on the way.

    Each call of PL/Python that an error leaves puts the name of its class in front.

    Args:
        error: an SPIError of PL/Python.
        server_error: see ``server_error_class``.
    """
    origin, separator, message = str(error).partition(": ")
    if not separator:
        return error  # type: ignore[no-any-return]
    if origin == server_error.__name__:
        code, detail, hint = error.spidata[:3]
        raised = server_error(message)
        for field, value in (("sqlstate", sqlstate(code)), ("detail", detail), ("hint", hint)):
            setattr(raised, field, value)
        return raised
    if origin == f"spiexceptions.{type(error).__name__}":
        error.args = (message,)
    return error  # type: ignore[no-any-return]


def sqlstate(code: int) -> str:
    """Return the five characters of an SQLSTATE, which the server keeps in six bits each."""
    return "".join(chr((code >> 6 * place & 63) + ord("0")) for place in range(5))


def as_server_error(error: TinyDancerError, server_error: type[Exception]) -> Exception:
    """Return the server's form of an error."""
    raised = server_error(error.message)
    for field in ("sqlstate", "detail", "hint"):
        setattr(raised, field, getattr(error, field))
    return raised
