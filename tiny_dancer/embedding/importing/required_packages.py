"""Importing what the extra ``model-import`` installs, or saying so."""

from __future__ import annotations

import importlib
from types import ModuleType

from tiny_dancer.embedding.native_libraries import quiet_native_load
from tiny_dancer.errors import MissingFileError


def require_package(module: str) -> ModuleType:
    """Import a module of the extra ``model-import``.

    Args:
        module: its dotted name.

    Returns:
        The module.

    Raises:
        MissingFileError: it is not installed.
    """
    try:
        with quiet_native_load():
            return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingFileError(
            f'python package "{package}" is not installed for this python',
            detail=f"Importing it failed: {error}.",
            hint='Install the extra "model-import": pip install "tiny-dancer[model-import]".',
        ) from error
