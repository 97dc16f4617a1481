"""Policies: how candidates are scored, one per thing to optimise for."""

from __future__ import annotations

from collections.abc import Callable

from tiny_dancer.errors import InvalidArgumentError, shown
from tiny_dancer.policies import cost, hybrid, latency, quality
from tiny_dancer.policies.candidates import Candidates, Floats, Weights

# A policy returns an array of its own: whoever called it goes on to change it.
Policy = Callable[[Candidates, Weights], Floats]

POLICIES: dict[str, Policy] = {
    "cost": cost.score,
    "latency": latency.score,
    "quality": quality.score,
    "balanced": hybrid.balanced,
    "quality_per_dollar": hybrid.quality_per_dollar,
}
# Makes sense only over several requests: the sum of what they cost.
BATCH_TARGETS = ("total_cost",)


def check_target(optimize_for: str | None, *, batch: bool = False) -> str:
    """Return the target if there is a policy for it.

    Raises:
        InvalidArgumentError: there is none; the hint lists the valid ones.
    """
    if optimize_for in POLICIES or (batch and optimize_for in BATCH_TARGETS):
        return optimize_for
    valid = ", ".join([*POLICIES, *(BATCH_TARGETS if batch else ())])
    detail = None
    if optimize_for in BATCH_TARGETS:
        detail = f"{optimize_for} is the sum over a batch; one request has no batch to sum over."
    raise InvalidArgumentError(
        f"unknown target {shown(optimize_for)} to optimize for",
        detail=detail,
        hint=f"Use one of: {valid}.",
    )


__all__ = ["BATCH_TARGETS", "POLICIES", "Candidates", "Policy", "Weights", "check_target"]
