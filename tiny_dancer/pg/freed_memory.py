"""Memory that training leaves free in a backend goes back to the host.

The C library keeps what was freed for the next one who asks. A connection of a pool may never train
again, and would hold on to tens of megabytes for as long as it lives.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any


def giving_memory_back(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, after whose calls the host gets what they left free.

    Where the C library has no malloc_trim (it is glibc's), nothing is different.
    """
    trim = getattr(ctypes.PyDLL(None), "malloc_trim", None)
    if trim is None:
        return function

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        finally:
            trim(ctypes.c_size_t(0))

    return call
