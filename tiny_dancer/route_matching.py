"""The defaults of semantic routes."""

from __future__ import annotations

from typing import NamedTuple


class RouteMatching(NamedTuple):
    """What holds for routes that say nothing themselves.

    Attributes:
        threshold: least similarity to a route with one utterance; more utterances raise it.
        description_threshold: least similarity to a route that has but one embedding.
        priority_margin: routes whose similarities differ by no more are ordered by priority.
    """

    threshold: float = 0.25
    description_threshold: float = 0.1
    priority_margin: float = 0.02
