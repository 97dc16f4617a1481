"""Why an agent was chosen, in a few words that are true of the numbers it was chosen by."""

from __future__ import annotations

from collections.abc import Callable

from tiny_dancer.cli.demo_routing import RoutedRequest, Standing

_SUPERLATIVES = {"cost": "cheapest", "latency": "fastest", "quality": "best"}
_SCORES = {
    "cost": "best cost x match",
    "latency": "best latency x match",
    "quality": "best quality",
    "balanced": "best balance",
    "quality_per_dollar": "best quality/$",
}
_CAPABILITIES = "required_capabilities"
_PASSED = {
    "excluded_agents": "not excluded",
    "context_window": "long enough",
    "max_cost": "cheap enough",
    "budget_remaining": "in budget",
    "max_latency_ms": "fast enough",
    "min_quality": "good enough",
    "quality_floor": "good enough",
}


def short_reason(routed: RoutedRequest) -> str:
    """Say why the agent that ranks first does.

    Args:
        routed: a request that an agent was found for.
    """
    candidates = sorted(
        (s for s in routed.standings if s.rank is not None), key=lambda s: s.rank or 0
    )
    if len(candidates) == 1:
        return _only(routed)
    leads = _leads(*candidates)
    if len(leads) == len(_KEYS):
        return "first in everything"
    return f"{_claim(routed.optimize_for, leads)} of {len(candidates)}"


def _claim(optimize_for: str, leads: list[str]) -> str:
    """Say what the chosen candidate is first in, as far as that is what was asked for."""
    wanted = _SUPERLATIVES.get(optimize_for)
    if wanted in leads and optimize_for != "quality":
        return wanted
    if optimize_for == "balanced" and len(leads) > 1:
        return ", ".join(leads)
    return _SCORES[optimize_for]


def _leads(chosen: Standing, *others: Standing) -> list[str]:
    """Name what the chosen candidate is strictly the first in."""
    return [
        _SUPERLATIVES[what]
        for what, key in _KEYS.items()
        if all(_less(key(chosen), key(other)) for other in others)
    ]


_KEYS: dict[str, Callable[[Standing], float | None]] = {
    "cost": lambda standing: standing.estimated_cost,
    "latency": lambda standing: standing.estimated_latency_ms,
    "quality": lambda standing: -standing.expected_quality,
}


def _less(mine: float | None, other: float | None) -> bool:
    """Compare; what is unknown is behind everything."""
    return mine is not None and (other is None or mine < other)


def _only(routed: RoutedRequest) -> str:
    """Say what leaves only one agent: its capabilities, or limits that the other capable fail."""
    removed = [s.removed_by for s in routed.standings if s.rank is None]
    if not removed:
        return "the only agent"
    limits = {c for by in removed if _CAPABILITIES not in by for c in by}
    if not limits:
        return "only one that can"
    return f"only one {', '.join(dict.fromkeys(_PASSED.get(c, c) for c in sorted(limits)))}"
