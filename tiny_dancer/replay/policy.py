"""The policy that is replayed: which agent it would have chosen of the recorded candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiny_dancer.agents.agent import check_amount, check_fraction, check_name
from tiny_dancer.errors import InvalidArgumentError, shown
from tiny_dancer.policies import POLICIES, Weights, check_target

KEYS = (
    *("optimize_for", "cost_weight", "quality_floor", "max_cost", "max_latency_ms"),
    *("excluded_agents", "router_model", "agent"),
)
EXAMPLE = '{"optimize_for": "cost", "quality_floor": 0.8}'
MAX_EXCLUDED = 1000


@dataclass(frozen=True, slots=True)
class ReplayPolicy:
    """One way to choose, checked.

    Attributes:
        optimize_for: a key of POLICIES.
        cost_weight: the dial of a balanced decision, None for the weights of the settings.
        quality_floor: least expected quality.
        max_cost: greatest estimated cost in dollars.
        max_latency_ms: greatest expected latency.
        excluded_agents: names of agents never chosen.
        router_model: id of the model whose predictions are used, None for what was expected when
            the decision was recorded.
        agent: the one agent that takes everything, None to choose by score.
    """

    optimize_for: str = "balanced"
    cost_weight: float | None = None
    quality_floor: float | None = None
    max_cost: float | None = None
    max_latency_ms: float | None = None
    excluded_agents: tuple[str, ...] = ()
    router_model: int | None = None
    agent: str | None = None

    @classmethod
    def parse(cls, given: object) -> ReplayPolicy:
        """Check what JSON held.

        Args:
            given: an object of keys from KEYS; a key whose value is null is as good as not there.

        Raises:
            InvalidArgumentError: it is no object, has an unknown key, a value of the wrong type or
                out of range, or keys that contradict each other.
        """
        if not isinstance(given, Mapping):
            raise InvalidArgumentError(
                "policy is not a JSON object", hint=f"Give an object, for example {EXAMPLE}."
            )
        unknown = [key for key in given if key not in KEYS]
        if unknown:
            raise InvalidArgumentError(
                f"unknown key {shown(unknown[0])} in policy",
                hint=f"The keys are: {', '.join(KEYS)}.",
            )
        stated = {key: value for key, value in given.items() if value is not None}
        if not stated:
            raise InvalidArgumentError(
                "policy is empty", hint=f"Say how it chooses, for example {EXAMPLE}."
            )
        if "agent" in stated:
            return cls._of_one_agent(stated)
        policy = cls(
            optimize_for=check_target(_text(stated, "optimize_for", "balanced")),
            cost_weight=check_fraction(_number(stated, "cost_weight"), what="cost_weight"),
            quality_floor=check_fraction(_number(stated, "quality_floor"), what="quality_floor"),
            max_cost=check_amount(_number(stated, "max_cost"), what="max_cost"),
            max_latency_ms=check_amount(_number(stated, "max_latency_ms"), what="max_latency_ms"),
            excluded_agents=_names(stated),
            router_model=_model(stated),
        )
        if policy.cost_weight is not None and policy.optimize_for != "balanced":
            raise InvalidArgumentError(
                f"cost_weight has no meaning when optimizing for {policy.optimize_for!r}",
                hint='Use it with "optimize_for": "balanced", which is the default.',
            )
        return policy

    @classmethod
    def _of_one_agent(cls, stated: Mapping[str, Any]) -> ReplayPolicy:
        others = [key for key in stated if key != "agent"]
        if others:
            raise InvalidArgumentError(
                f"agent and {others[0]} contradict each other in policy",
                hint="Name the one agent that takes every request, or say how to choose.",
            )
        return cls(agent=check_name(_text(stated, "agent", ""), what="agent"))

    def weights(self, default: Weights) -> Weights:
        """Return the weights of a balanced decision.

        Args:
            default: those of the settings.
        """
        return default if self.cost_weight is None else Weights.dial(self.cost_weight)


def _text(stated: Mapping[str, Any], key: str, default: str) -> str:
    value = stated.get(key, default)
    if not isinstance(value, str):
        valid = f" one of: {', '.join(POLICIES)}" if key == "optimize_for" else " a name"
        raise InvalidArgumentError(f"{key} can not be {shown(value)}", hint=f"Give{valid}.")
    return value


def _number(stated: Mapping[str, Any], key: str) -> float | None:
    value = stated.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgumentError(f"{key} can not be {shown(value)}", hint="Give a number.")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _names(stated: Mapping[str, Any]) -> tuple[str, ...]:
    value = stated.get("excluded_agents", [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidArgumentError(
            f"excluded_agents can not be {shown(value)}", hint="Give an array of names."
        )
    if len(value) > MAX_EXCLUDED:
        raise InvalidArgumentError(
            f"excluded_agents has {len(value)} elements", hint=f"Give at most {MAX_EXCLUDED}."
        )
    return tuple(value)


def _model(stated: Mapping[str, Any]) -> int | None:
    value = stated.get("router_model")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not (0 < value < 1 << 63):
        raise InvalidArgumentError(
            f"router_model can not be {shown(value)}",
            hint="Give the id of a model, as ruvector_router_models() lists it.",
        )
    return value
