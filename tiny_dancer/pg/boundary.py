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
    as they are.
    """
    server_error = backend.server_error

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(backend, *arguments)
        except TinyDancerError as error:
            raise as_server_error(error, server_error) from None

    return call


def as_server_error(error: TinyDancerError, server_error: type[Exception]) -> Exception:
    """Return the server's form of an error."""
    raised = server_error(error.message)
    for field in ("sqlstate", "detail", "hint"):
        setattr(raised, field, getattr(error, field))
    return raised
