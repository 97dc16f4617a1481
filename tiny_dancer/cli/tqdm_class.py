"""tqdm, which shows how far a command is, or what to do where it is not installed."""

from __future__ import annotations

from typing import Any

from tiny_dancer.errors import MissingFileError


def tqdm_class() -> Any:
    """Return the class of tqdm's bars.

    Raises:
        MissingFileError: tqdm is not installed.
    """
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingFileError(
            'python package "tqdm" is not installed for this python',
            hint='Install the extra "cli": pip install "tiny-dancer[cli]".',
        ) from error
    return tqdm
