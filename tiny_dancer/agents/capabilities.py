"""Capability matching: exact for what is required, semantic for what is scored.

Required capabilities are matched exactly, ignoring case and through aliases. Similarity of
meaning never makes an agent eligible; it only moves its score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

HALF = np.array(0.5)


def capability_key(capability: str, aliases: Mapping[str, str] | None = None) -> str:
    """Return the form under which two spellings of one capability are equal.

    Args:
        capability: as written by a user.
        aliases: from the key of an alias to the key of the capability it stands for.
    """
    key = capability.strip().casefold()
    return aliases.get(key, key) if aliases else key


def resolve_aliases(aliases: Mapping[str, str]) -> dict[str, str]:
    """Return the aliases, each leading to its capability in one step.

    Args:
        aliases: from the key of an alias to the key of what it stands for, itself perhaps an alias.

    Aliases that lead round in a circle all stand for the least of them.
    """
    return {alias: _end_of_chain(alias, aliases) for alias in aliases}


def _end_of_chain(alias: str, aliases: Mapping[str, str]) -> str:
    passed: list[str] = []
    key = alias
    while key in aliases and key not in passed:
        passed.append(key)
        key = aliases[key]
    return min(passed[passed.index(key) :]) if key in passed else key


def capability_text(capabilities: Sequence[str]) -> str:
    """Return the text whose embedding stands for what an agent can do."""
    return ", ".join(capabilities)


def capability_columns(
    capabilities: Iterable[Sequence[str]], aliases: Mapping[str, str] | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Return for each capability which agents have it, as boolean arrays over the agents."""
    rows = [[capability_key(c, aliases) for c in agent] for agent in capabilities]
    columns: dict[str, NDArray[np.bool_]] = {}
    for position, keys in enumerate(rows):
        for key in keys:
            if key not in columns:
                columns[key] = np.zeros(len(rows), dtype=bool)
            columns[key][position] = True
    return columns


def capability_match(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map cosine similarities from [-1, 1] to factors in [0, 1].

    A factor below zero would turn a ranking round when it is multiplied with a score.
    """
    match: NDArray[np.float64] = similarity * HALF
    match += HALF
    return match
