"""What agents cost per request, where a benchmark file does not say: from prices of tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError, MissingFileError

Floats = NDArray[np.float64]

CHARACTERS_PER_TOKEN = 4.0
"""Of English text, roughly."""


def read_prices(path: Path) -> dict[str, tuple[float, float]]:
    """Read dollars per million input and output tokens of each agent.

    The file is JSON: ``{agent: {"input_per_1m": dollars, "output_per_1m": dollars}}``.

    Raises:
        MissingFileError: there is no such file.
        InvalidArgumentError: it is of another form, or a price is negative.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingFileError(f"file of prices {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidArgumentError(f"file of prices {path.name} is no JSON: {error}") from error
    if not isinstance(held, dict):
        raise InvalidArgumentError(f"file of prices {path.name} is no JSON object")
    return {agent: _prices(agent, entry) for agent, entry in held.items()}


def _prices(agent: str, entry: Any) -> tuple[float, float]:
    try:
        both = float(entry["input_per_1m"]), float(entry["output_per_1m"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"the prices of {agent} are {entry!r}",
            hint='Give an object with the numbers "input_per_1m" and "output_per_1m".',
        ) from error
    if not all(np.isfinite(price) and price >= 0.0 for price in both):
        raise InvalidArgumentError(f"the prices of {agent} are {both}, not numbers from 0 on")
    return both


def costs_by_request(
    prompts: Sequence[str],
    agents: Sequence[str],
    prices: dict[str, tuple[float, float]],
    output_tokens: float,
) -> Floats:
    """Dollars of each request with each agent, [n, a].

    Args:
        prompts: their length gives the tokens of the input.
        agents: all of which must have prices.
        prices: see ``read_prices``.
        output_tokens: of every answer.

    Raises:
        InvalidArgumentError: an agent has no price.
    """
    missing = [agent for agent in agents if agent not in prices]
    if missing:
        raise InvalidArgumentError(f"there is no price of {', '.join(missing)}")
    taken = np.array([len(prompt) for prompt in prompts]) / CHARACTERS_PER_TOKEN
    per_token = np.array([prices[agent] for agent in agents]) / 1e6
    return np.asarray(taken[:, None] * per_token[:, 0] + output_tokens * per_token[:, 1])
