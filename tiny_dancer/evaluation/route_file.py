"""Files of requests whose right route is known, in several public forms.

| form | what it holds |
|---|---|
| rows (Banking77) | a text and its route, perhaps a split; JSON lines or CSV |
| lists by split (CLINC150) | {"train": [[text, route], …], "oos_test": …}; JSON |

Any of them may be gzipped. A request that means none of the routes has an empty route, or ``oos``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.evaluation.benchmark_file import decoded, is_unicode, read_rows

TEXT_FIELDS = ("text", "request", "utterance", "query", "sentence")
ROUTE_FIELDS = ("route_name", "route", "label", "intent", "category")
OUT_OF_SCOPE = ("", "oos")
TRAINING = "train"


@dataclass(frozen=True, slots=True)
class LabelledRequests:
    """Requests and the routes that they mean.

    Attributes:
        texts: n of them.
        routes: None where a request means none of the routes, [n].
        splits: the part of the data set that each belongs to; None where the file names none.
    """

    texts: list[str]
    routes: list[str | None]
    splits: list[str] | None

    def learned_and_judged(self) -> tuple[list[int], list[int]] | None:
        """Return which rows are to learn from and which to be judged by, as the file says.

        None where it does not: it names no splits, or all of them are for training.
        """
        if self.splits is None:
            return None
        learned = [row for row, split in enumerate(self.splits) if TRAINING in split]
        judged = [row for row, split in enumerate(self.splits) if TRAINING not in split]
        return (learned, judged) if learned and judged else None


def read_labelled_requests(path: Path, split: str | None = None) -> LabelledRequests | None:
    """Read a file in one of the forms above; None where it is of another.

    Args:
        path: of the file.
        split: of the splits that are not for training, keep those with this in their name, as
            "test" is in "oos_test".

    Raises:
        MissingFileError: there is no such file.
        InvalidArgumentError: a row has no text, or no such split is there.
    """
    lists = _lists_by_split(path)
    rows = _rows_of_lists(lists) if lists is not None else _rows(read_rows(path))
    if rows is None:
        return None
    if split is not None:
        rows = [row for row in rows if TRAINING in row[2] or split in row[2]]
        if all(TRAINING in row[2] for row in rows):
            raise InvalidArgumentError(f"no split of {path.name} has {split!r} in its name")
    for number, (text, _, _) in enumerate(rows, start=1):
        if not text.strip():
            raise InvalidArgumentError(f"row {number} of {path.name} has no text")
        if not is_unicode(text):
            raise InvalidArgumentError(f"row {number} of {path.name} has a text that is no Unicode")
    if not any(route for _, route, _ in rows):
        raise InvalidArgumentError(f"no row of {path.name} names a route")
    splits = [split for _, _, split in rows]
    return LabelledRequests(
        [text for text, _, _ in rows],
        [route for _, route, _ in rows],
        splits if any(splits) else None,
    )


_Row = tuple[str, str | None, str]
"""Text, route, split."""


def _lists_by_split(path: Path) -> dict[str, list[list[str]]] | None:
    """The content of a file that is one JSON object of lists of pairs, or None."""
    text = decoded(path).lstrip()
    if not text.startswith("{"):
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        # Several objects, one a line: rows.
        return None
    lists = list(content.values())
    if not lists or not all(isinstance(pairs, list) for pairs in lists):
        return None
    for split, pairs in content.items():
        for pair in pairs:
            if not (isinstance(pair, list) and len(pair) == 2 and all(map(_is_text, pair))):
                raise InvalidArgumentError(
                    f"{split!r} of {path.name} holds what is no pair of a text and a route",
                    hint='Give {"train": [["a text", "its route"], …], "test": …}.',
                )
    return dict(content)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _rows_of_lists(lists: dict[str, list[list[str]]]) -> list[_Row]:
    return [(text, _route(route), split) for split, pairs in lists.items() for text, route in pairs]


def _rows(rows: list[dict[str, Any]]) -> list[_Row] | None:
    if not rows:
        return None
    text = _field(rows[0], TEXT_FIELDS)
    route = _field(rows[0], ROUTE_FIELDS)
    if text is None or route is None:
        return None
    return [
        (str(row.get(text) or ""), _route(row.get(route)), str(row.get("split") or ""))
        for row in rows
    ]


def _field(row: dict[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in row), None)


def _route(value: Any) -> str | None:
    return None if value is None or str(value) in OUT_OF_SCOPE else str(value)
