"""An argument that is a whole number of at least one."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """Return the number that a text is.

    Raises:
        ArgumentTypeError: it is below 1.
        ValueError: it is no whole number.
    """
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value
