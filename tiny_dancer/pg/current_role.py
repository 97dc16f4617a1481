"""Who a call runs as: asked of the server itself, for a query takes as long as half a decision."""

from __future__ import annotations

import ctypes
from collections.abc import Callable


def current_role_reader() -> Callable[[], int]:
    """Return the server's own GetUserId (src/backend/utils/init/miscinit.c) as a function.

    It returns the oid of CURRENT_USER, and neither takes anything nor raises. There is one in the
    process of a server alone.
    """
    reader = ctypes.PyDLL(None).GetUserId
    reader.argtypes = ()
    reader.restype = ctypes.c_uint32
    return reader
