"""The files of the demo: agents and requests, each an object of the named arguments of a call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiny_dancer.errors import InvalidArgumentError, MissingFileError

Call = dict[str, Any]


def read_examples(path: Path) -> list[Call]:
    """Read a JSON array of objects.

    Args:
        path: of the file.

    Returns:
        The objects: the named arguments of one SQL call each.

    Raises:
        MissingFileError: the file is not there.
        InvalidArgumentError: it holds something else, or nothing.
    """
    try:
        calls = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(
            f"there is no file {path}",
            hint="Run the demo from a checkout (make demo), or pass --examples DIR.",
        ) from error
    except ValueError as error:
        raise InvalidArgumentError(f"{path} is not JSON", detail=f"{error}.") from error
    if not isinstance(calls, list) or not calls or not all(isinstance(c, dict) for c in calls):
        raise InvalidArgumentError(
            f"{path} is not an array of objects",
            hint="Give one object for each call, its keys the names of the arguments.",
        )
    return calls
