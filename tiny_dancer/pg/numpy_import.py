"""NumPy's first import in a backend, without the docstrings of its compiled functions.

NumPy adds these at run time from two modules of text, and cleans each up. Nobody reads them in a
server process, where they cost a new connection a fifth of NumPy's import.
"""

from __future__ import annotations

import sys
from types import ModuleType

DOCSTRING_MODULES = ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars")


def import_numpy() -> None:
    """Import NumPy, with empty modules in the place of its docstrings.

    Nothing happens where NumPy is imported already. A NumPy that keeps its docstrings elsewhere is
    imported with them.
    """
    if "numpy" in sys.modules:
        return
    sys.modules.update({name: ModuleType(name) for name in DOCSTRING_MODULES})
    import numpy  # noqa: F401
