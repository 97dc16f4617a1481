"""Benchmark files: requests, and how each agent did on them, in several public forms.

| form | fields of a row |
|---|---|
| pair (RouteLLM) | prompt, weak, strong, perhaps subject; JSON lines |
| scores (LLMRouter) | prompt, scores {agent: quality}; JSON lines |
| outcomes | request, agent, quality, perhaps cost; JSON lines or CSV, a row per outcome |
| wide (RouterBench, RouteLLM's CSV) | prompt, a column per agent, perhaps "agent|total_cost"; CSV |

Any of them may be gzipped, and a JSON array does for JSON lines. Which form it is shows in the
first row.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError, MissingFileError

Floats = NDArray[np.float64]

_GROUP_FIELDS = ("subject", "eval_name", "group")
_COST_SUFFIX = "|total_cost"
_TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True, eq=False)
class Benchmark:
    """Requests and the quality of each agent on each.

    Attributes:
        prompts: the requests, n of them.
        agents: names, a of them.
        quality: in [0, 1], [n, a]; 0 where unknown.
        mask: where it is known, [n, a].
        costs: dollars, [n, a], NaN where unknown; None where the file has none.
        groups: the subject of each request; None where the file has none.
    """

    prompts: list[str]
    agents: list[str]
    quality: Floats
    mask: NDArray[np.bool_]
    costs: Floats | None
    groups: list[str] | None


def read_benchmark(path: Path) -> Benchmark:
    """Read a file in any of the forms above.

    Raises:
        MissingFileError: there is no such file.
        InvalidArgumentError: it is empty, of no known form, or a quality is not in [0, 1].
    """
    rows = read_rows(path)
    if not rows:
        raise InvalidArgumentError(f"benchmark file {path.name} has no rows")
    first = rows[0]
    cells = list(_cells(rows, first, path.name))
    prompts = list(dict.fromkeys(cell[0] for cell in cells))
    if "agent" in first or "agent_name" in first:
        number_of = {prompt: number for number, prompt in enumerate(prompts)}
        numbered = [(number_of[p], agent, q, cost) for p, agent, q, cost, _ in cells]
        groups = None
    else:
        # One row is one request, even where a prompt occurs twice.
        prompts = [_text(row, "prompt", number, path.name) for number, row in enumerate(rows)]
        numbered = [(number, agent, q, cost) for _, agent, q, cost, number in cells]
        field = next((name for name in _GROUP_FIELDS if name in first), None)
        groups = None if field is None else [str(row.get(field)) for row in rows]
    return _matrix(prompts, numbered, groups, path.name)


def decoded(path: Path) -> str:
    """Return the text of a file, gzipped or not.

    Raises:
        MissingFileError: there is no such file.
        InvalidArgumentError: it is no text, or is damaged.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise MissingFileError(f"benchmark file {path} cannot be read: {error.strerror}") from error
    try:
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except (EOFError, OSError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"benchmark file {path.name} is no text: {error}") from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines, a JSON array or CSV, gzipped or not, as one mapping per row.

    Raises:
        MissingFileError: there is no such file.
        InvalidArgumentError: a line is no JSON object, or the file is no text.
    """
    text = decoded(path)
    if text.lstrip().startswith("["):
        return _array(text, path.name)
    if not text.lstrip().startswith("{"):
        return _table(text, path.name)
    rows: list[dict[str, Any]] = []
    # Not splitlines: JSON may hold line separators of Unicode as they are.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidArgumentError(
                f"line {number} of {path.name} is no JSON: {error}"
            ) from error
        if not isinstance(row, dict):
            raise InvalidArgumentError(f"line {number} of {path.name} is no JSON object")
        rows.append(row)
    return rows


def _table(text: str, name: str) -> list[dict[str, Any]]:
    """The rows of a file of comma-separated values."""
    usual = csv.field_size_limit(max(len(text), csv.field_size_limit()))
    try:
        reader = csv.DictReader(io.StringIO(text))
        fields = list(reader.fieldnames or ())
        rows: list[dict[str, Any]] = list(reader)
    finally:
        csv.field_size_limit(usual)
    twice = next((field for field in fields if field and fields.count(field) > 1), None)
    if twice is not None:
        raise InvalidArgumentError(f"{name} has two columns {twice!r}")
    for number, row in enumerate(rows, 1):
        if None in row:
            raise InvalidArgumentError(
                f"row {number} of {name} has more cells than columns",
                hint="Put texts that hold a comma in double quotes.",
            )
    return rows


def _array(text: str, name: str) -> list[dict[str, Any]]:
    """The rows of a file that is one JSON array."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{name} is no JSON: {error}") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InvalidArgumentError(f"element {number} of {name} is no JSON object")
    return list(rows)


_Cell = tuple[str, str, float, float, int]


def _cells(rows: list[dict[str, Any]], first: dict[str, Any], name: str) -> Iterable[_Cell]:
    """One (prompt, agent, quality, cost, row number) per outcome."""
    if "agent" in first or "agent_name" in first:
        agent = "agent" if "agent" in first else "agent_name"
        request = "request" if "request" in first else "prompt"
        for number, row in enumerate(rows):
            cost = _number(row.get("cost"), number, name)
            quality = _number(row.get("quality"), number, name)
            asked, answered_by = (_text(row, field, number, name) for field in (request, agent))
            yield asked, answered_by, quality, cost, number
    elif "prompt" not in first:
        raise InvalidArgumentError(
            f"benchmark file {name} is of no known form: its fields are {', '.join(first)}",
            hint="Give it the fields request, agent and quality, one row per outcome; or text and "
            "label, one row per request whose route is known.",
        )
    elif "scores" in first:
        for number, row in enumerate(rows):
            prompt, scores = _text(row, "prompt", number, name), row.get("scores")
            if not isinstance(scores, dict):
                raise InvalidArgumentError(f"row {number + 1} of {name} has no scores by agent")
            for agent, quality in scores.items():
                yield prompt, agent, _number(quality, number, name), np.nan, number
    else:
        agents = _agent_columns(first)
        for number, row in enumerate(rows):
            for agent in agents:
                cost = _number(row.get(agent + _COST_SUFFIX), number, name)
                quality = _number(row.get(agent), number, name)
                yield _text(row, "prompt", number, name), agent, quality, cost, number


def _agent_columns(first: dict[str, Any]) -> list[str]:
    """The columns that hold a quality: numbers or truth values without a bar in their name."""
    agents = []
    for field, value in first.items():
        if field in ("prompt", "sample_id", *_GROUP_FIELDS) or "|" in field:
            continue
        if isinstance(value, str) and value.lower() not in _TRUTH:
            try:
                float(value)
            except ValueError:
                continue
        agents.append(field)
    return agents


def _text(row: dict[str, Any], field: str, number: int, name: str) -> str:
    """A field that every row must have."""
    value = row.get(field)
    if value is None:
        raise InvalidArgumentError(f"row {number + 1} of {name} has no {field}")
    text = str(value)
    if not text.strip():
        raise InvalidArgumentError(f"row {number + 1} of {name} has an empty {field}")
    if not is_unicode(text):
        raise InvalidArgumentError(f"row {number + 1} of {name} has a {field} that is no Unicode")
    return text


def is_unicode(text: str) -> bool:
    """Whether a text has none of the half characters that JSON lets through."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _number(value: Any, row: int, name: str) -> float:
    """A number, a truth value, or NaN for nothing."""
    if value is None or value == "":
        return float("nan")
    if isinstance(value, str) and value.lower() in _TRUTH:
        return _TRUTH[value.lower()]
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"row {row + 1} of {name} holds {value!r}, no number") from error


def _matrix(
    prompts: list[str],
    cells: list[tuple[int, str, float, float]],
    groups: list[str] | None,
    name: str,
) -> Benchmark:
    agents = sorted({agent for _, agent, _, _ in cells})
    if not agents:
        raise InvalidArgumentError(f"benchmark file {name} names no agent")
    column = {agent: number for number, agent in enumerate(agents)}
    shape = (len(prompts), len(agents))
    total, count = np.zeros(shape), np.zeros(shape)
    spent, priced = np.zeros(shape), np.zeros(shape)
    for row, agent, quality, cost in cells:
        at = row, column[agent]
        if not np.isnan(quality):
            if not 0.0 <= quality <= 1.0:
                raise InvalidArgumentError(
                    f"benchmark file {name} has quality {quality} for {agent}, not in 0 to 1"
                )
            total[at] += quality
            count[at] += 1.0
        if not np.isnan(cost):
            spent[at] += cost
            priced[at] += 1.0
    known = count > 0.0
    unjudged = [agents[number] for number in np.flatnonzero(count.sum(axis=0) == 0.0)]
    if unjudged:
        raise InvalidArgumentError(
            f"benchmark file {name} has no quality for {', '.join(unjudged)}",
            hint="Give every agent a quality from 0 to 1 in some rows, or leave it out.",
        )
    costs = None
    if priced.any():
        costs = np.where(priced > 0.0, spent / np.maximum(priced, 1.0), np.nan)
    return Benchmark(prompts, agents, total / np.maximum(count, 1.0), known, costs, groups)
