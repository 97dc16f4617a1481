"""Memory that training leaves free in a backend goes back to the host.

A connection of a pool may never train again, and would hold on to tens of megabytes for as long as
it lives.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tiny_dancer.embedding.native_libraries import release_free_memory


def giving_memory_back(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, after whose calls the host gets what they left free."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        finally:
            release_free_memory()

    return call
