"""An agent: something that can take a request (an LLM, a tool, an API, a human, an ensemble)."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError, shown

MAX_NAME_LENGTH = 200
MAX_CAPABILITIES = 200
MAX_TAGS = 100
# Beyond these no price, latency or window is real, and sums and products stay finite below them.
MAX_AMOUNT = 1e12
MAX_METADATA_CHARACTERS = 100_000
# How deep Python reads JSON depends on its version: 3.11 less than 1,000 levels, 3.14 any.
MAX_METADATA_LEVELS = 500


class AgentType(enum.StrEnum):
    """The kinds of agents that the registry knows."""

    LLM = "llm"
    TOOL = "tool"
    API = "api"
    HUMAN = "human"
    ENSEMBLE = "ensemble"

    @classmethod
    def parse(cls, text: str | None) -> AgentType:
        """Read an agent type, ignoring case.

        Raises:
            InvalidArgumentError: the type is unknown; the hint lists the valid ones.
        """
        try:
            return cls((text or "").strip().lower())
        except ValueError:
            valid = ", ".join(member.value for member in cls)
            raise InvalidArgumentError(
                f"unknown agent type {shown(text)}", hint=f"Use one of: {valid}."
            ) from None


class CostModel(NamedTuple):
    """What an agent charges, in dollars. A part that is None is not known to be charged.

    Attributes:
        per_1k_tokens: for 1,000 tokens, input and output unless ``per_1k_output_tokens`` is given.
        per_1k_output_tokens: for 1,000 tokens of output.
        per_call: for each request.
        per_second: for each second the agent works.
    """

    per_1k_tokens: float | None = None
    per_1k_output_tokens: float | None = None
    per_call: float | None = None
    per_second: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether any price is known at all; 0 is a price."""
        return any(
            part is not None
            for part in (
                self.per_1k_tokens,
                self.per_1k_output_tokens,
                self.per_call,
                self.per_second,
            )
        )


@dataclass(frozen=True, slots=True)
class Agent:
    """One registered agent.

    Attributes:
        name: unique among the living agents.
        agent_type: see AgentType.
        capabilities: what it can do, as written by who registered it.
        cost: its prices in dollars.
        avg_latency_ms: registered average latency in milliseconds, None if unknown.
        quality_score: registered prior of its quality in [0, 1], None if unknown.
        metadata: free, but ``context_window`` (tokens) and ``members`` (of an ensemble) have a
            meaning here; from a database only those two are read.
        active: whether it may be chosen.
        pool: agents of one pool stand for the same thing.
        weight: its share among the members of its pool.
        max_concurrent: how many requests it takes at once, None for no limit.
        tags: free labels.
        embedding: unit vector of its capabilities, shape [dimension], None if it has none.
        id: of its row in a database, 0 without one.
    """

    name: str
    agent_type: AgentType = AgentType.LLM
    capabilities: tuple[str, ...] = ()
    cost: CostModel = field(default_factory=CostModel)
    avg_latency_ms: float | None = None
    quality_score: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    active: bool = True
    pool: str | None = None
    weight: float = 1.0
    max_concurrent: int | None = None
    tags: tuple[str, ...] = ()
    embedding: NDArray[np.float32] | None = None
    id: int = 0


def check_name(name: str | None, *, what: str) -> str:
    """Return the name if it can be one.

    Raises:
        InvalidArgumentError: it is missing, blank, padded, too long or has control characters.
    """
    if name is None or not name.strip():
        raise InvalidArgumentError(
            f"{what} must not be empty", hint="Give a name with at least one visible character."
        )
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidArgumentError(
            f"{what} has {len(name)} characters",
            detail=f"At most {MAX_NAME_LENGTH} are allowed.",
            hint="Choose a shorter name.",
        )
    if name != name.strip():
        raise InvalidArgumentError(
            f"{what} {shown(name)} begins or ends with white space", hint="Remove the white space."
        )
    if not name.isprintable():
        raise InvalidArgumentError(
            f"{what} {shown(name)} has control characters", hint="Use printable characters only."
        )
    return name


def check_amount(value: float | None, *, what: str) -> float | None:
    """Return a price, cost or latency if it is None or a finite number of at least 0.

    Raises:
        InvalidArgumentError: it is negative, NaN or infinite.
    """
    if value is not None and not (0.0 <= value < math.inf):
        raise InvalidArgumentError(
            f"{what} is {value!r}", hint="Give a finite number of at least 0, or NULL if unknown."
        )
    return value


def check_registered_amount(value: float | None, *, what: str) -> float | None:
    """Return a registered price or latency if it is None or a number from 0 to MAX_AMOUNT.

    Raises:
        InvalidArgumentError: it is negative, NaN or beyond any real price or latency.
    """
    if value is not None and not (0.0 <= value <= MAX_AMOUNT):
        raise InvalidArgumentError(
            f"{what} is {value!r}",
            hint=f"Give a number from 0 to {MAX_AMOUNT:.0e}, or NULL if unknown.",
        )
    return value


def check_fraction(value: float | None, *, what: str) -> float | None:
    """Return a score or a rate if it is None or lies in [0, 1].

    Raises:
        InvalidArgumentError: it lies outside, or is NaN.
    """
    if value is not None and not (0.0 <= value <= 1.0):
        raise InvalidArgumentError(
            f"{what} is {value!r}", hint="Give a number between 0 and 1, or NULL if unknown."
        )
    return value


def check_labels(
    labels: Sequence[str | None] | None, *, what: str, most: int
) -> tuple[str, ...] | None:
    """Return capabilities or tags without repetitions (ignoring case), in the order given.

    Raises:
        InvalidArgumentError: one of them is missing, blank, too long, or there are too many.
    """
    if labels is None:
        return None
    if len(labels) > most:
        raise InvalidArgumentError(
            f"{len(labels)} {what} are too many", hint=f"Give at most {most}."
        )
    by_key: dict[str, str] = {}
    for label in labels:
        if isinstance(label, (list, tuple)):
            raise InvalidArgumentError(
                f"{what} must be a flat array", hint="Pass a one-dimensional array of text."
            )
        checked = check_name(
            label.strip() if label is not None else None, what=f"one of the {what}"
        )
        by_key.setdefault(checked.casefold(), checked)
    return tuple(by_key.values())


def parse_metadata(text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        InvalidArgumentError: it is too long, nests too deeply, or has a number of thousands of
            digits.
    """
    if len(text) > MAX_METADATA_CHARACTERS:
        raise InvalidArgumentError(
            f"metadata has {len(text)} characters",
            hint=f"Give at most {MAX_METADATA_CHARACTERS} characters of JSON.",
        )
    try:
        metadata = json.loads(text)
    except RecursionError:
        is_too_deep = True
    except ValueError:
        raise InvalidArgumentError(
            "metadata has a number of too many digits", hint="Give a plainer JSON object."
        ) from None
    else:
        is_too_deep = _has_more_levels(metadata, MAX_METADATA_LEVELS)
    if is_too_deep:
        raise InvalidArgumentError(
            "metadata nests too deeply",
            hint=f"Give a JSON object of at most {MAX_METADATA_LEVELS} levels.",
        )
    return metadata


def _has_more_levels(document: Any, most: int) -> bool:
    """Whether lists and objects of a JSON document lie in each other more than so many deep."""
    level = [document]
    for _ in range(most + 1):
        containers = [value for value in level if isinstance(value, (dict, list))]
        if not containers:
            return False
        level = [
            inner
            for outer in containers
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return True


def check_metadata(metadata: Any, *, is_ensemble: bool = False) -> dict[str, Any]:
    """Return the metadata if the keys that have a meaning here have values that can mean it.

    Raises:
        InvalidArgumentError: it is not an object, ``context_window`` is not a positive number of
            tokens, or ``members`` of an ensemble is not a list of names.
    """
    if not isinstance(metadata, dict):
        raise InvalidArgumentError(
            f"metadata is a JSON {_json_type(metadata)}",
            hint='Give a JSON object, for example {"provider": "openai"}.',
        )
    _check_context_window(metadata.get("context_window"))
    if is_ensemble:
        _check_members(metadata.get("members"))
    return metadata


def _check_context_window(tokens: Any) -> None:
    if tokens is None:
        return
    is_number = isinstance(tokens, (int, float)) and not isinstance(tokens, bool)
    if not is_number or not (0 < tokens <= MAX_AMOUNT):
        raise InvalidArgumentError(
            f"metadata.context_window is {shown(tokens)}",
            hint=f"Give the tokens that the agent can read, above 0 and at most {MAX_AMOUNT:.0e}.",
        )


def _check_members(members: Any) -> None:
    is_list_of_names = isinstance(members, list) and all(isinstance(m, str) for m in members)
    if not is_list_of_names or not members:
        raise InvalidArgumentError(
            "an ensemble needs its members",
            detail=f"metadata.members is {shown(members)}.",
            hint='List the names of its agents in metadata, for example {"members": ["a", "b"]}.',
        )
    if len(set(members)) != len(members):
        raise InvalidArgumentError(
            "an ensemble names a member twice", hint="Name each member of the ensemble once."
        )


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "value")
