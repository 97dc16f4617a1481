"""Reads the starting corpus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from tiny_dancer.errors import MissingFileError

_FILE = "requests.tsv"
_HEADER = ["split", "kind", "capabilities", "request"]
_SPLITS = {"training": False, "held_out": True}


@dataclass(frozen=True, slots=True)
class StartingRequest:
    """One request of the corpus.

    Attributes:
        text: what somebody asks.
        kind: the one kind it is of: code, translation, planning, ...
        capabilities: what an agent needs for it, at least one.
        held_out: whether it is for judging only, never for training.
    """

    text: str
    kind: str
    capabilities: tuple[str, ...]
    held_out: bool


def load(*, held_out: bool | None = None) -> list[StartingRequest]:
    """Read the corpus.

    Args:
        held_out: only the rows held out, or only those for training; all if None.

    Returns:
        The requests in the order of the file.

    Raises:
        MissingFileError: the file is missing or damaged in this installation.
    """
    try:
        text = files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(str(error)) from error
    lines = text.splitlines()
    if not lines or lines[0].split("\t") != _HEADER:
        raise _damaged("its first line is not the expected header")
    requests = [_request(line, number) for number, line in enumerate(lines[1:], start=2)]
    return [r for r in requests if held_out is None or r.held_out == held_out]


def kinds(requests: Iterable[StartingRequest]) -> list[str]:
    """The kinds that occur, sorted."""
    return sorted({request.kind for request in requests})


def capabilities(requests: Iterable[StartingRequest]) -> list[str]:
    """The capabilities that occur, sorted."""
    return sorted({name for request in requests for name in request.capabilities})


def _request(line: str, number: int) -> StartingRequest:
    fields = line.split("\t")
    if len(fields) != len(_HEADER) or fields[0] not in _SPLITS or not all(fields):
        raise _damaged(f"line {number} is not a split, a kind, capabilities and a request")
    split, kind, names, text = fields
    return StartingRequest(text, kind, tuple(names.split(",")), _SPLITS[split])


def _damaged(why: str) -> MissingFileError:
    return MissingFileError(
        f"the starting corpus {_FILE} cannot be read: {why}",
        hint="Install tiny_dancer again; the file belongs to its package.",
    )
