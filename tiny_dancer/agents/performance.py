"""How agents perform: what was registered of them, moved by what was observed.

A registered value counts as a number of observations (the setting prior_strength). So one bad
outcome does not sink an agent, and after many the registered value hardly matters: the mean of a
posterior whose prior has that weight.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.registry import AgentRegistry, prior_log_odds
from tiny_dancer.settings import Settings

Floats = NDArray[np.float64]


class Outcomes(NamedTuple):
    """What was recorded of every agent of a registry, as arrays of n elements.

    Attributes:
        requests: how many outcomes.
        quality_count, mean_quality: outcomes with a training target, and its mean.
        latency_count, mean_latency_ms: outcomes with a latency, and its mean.
        output_count, mean_output_tokens: outcomes with a count of output tokens, and its mean.
    """

    requests: Floats
    quality_count: Floats
    mean_quality: Floats
    latency_count: Floats
    mean_latency_ms: Floats
    output_count: Floats
    mean_output_tokens: Floats

    @classmethod
    def none(cls, count: int) -> Outcomes:
        """Return the outcomes of agents that nothing was recorded of."""
        return cls(*(np.zeros(count) for _ in range(7)))


class AgentPerformance:
    """What a decision expects of every agent before it looks at the request.

    Args:
        registry: n agents.
        settings: see Settings.
        outcomes: what was recorded of them; nothing by default.

    Attributes:
        requests: recorded outcomes.
        latency_ms: NaN where unknown.
        quality: in [0, 1], NaN where unknown.
        log_odds: of the quality that is expected of it at large, kept away from infinity. A
            registered quality is defended longer there than in ``quality``, for chance alone must
            not turn the ranking of agents round; see ``RobustPrior``.
        output_tokens: expected of a request.
        constant_cost: dollars of a request whatever its input: output, calls, seconds.
        priced: whose price is known.
        room: most input tokens that leave room for the output in the context window.
        least_room: of them all.
    """

    def __init__(
        self, registry: AgentRegistry, settings: Settings, outcomes: Outcomes | None = None
    ) -> None:
        seen = outcomes or Outcomes.none(len(registry))
        strength = settings.prior_strength
        self.requests: Floats = seen.requests
        self.latency_ms: Floats = blend(
            registry.latency_ms, strength, seen.mean_latency_ms, seen.latency_count
        )
        self.quality: Floats = blend(
            registry.quality, strength, seen.mean_quality, seen.quality_count
        )
        self._follow_members(registry, seen)
        self.log_odds: Floats = prior_log_odds(
            settings.robust_prior.posterior_mean(
                registry.quality, seen.mean_quality, seen.quality_count
            )
        )
        assumed = np.full(len(registry), float(settings.expected_output_tokens))
        self.output_tokens: Floats = blend(
            assumed, strength, seen.mean_output_tokens, seen.output_count
        )
        seconds = registry.seconds_charged(self.latency_ms)
        self.constant_cost: Floats = registry.output_price * self.output_tokens
        self.constant_cost += registry.call_price + np.nan_to_num(seconds, nan=0.0)
        # By the second, an agent of unknown speed has an unknown price.
        self.priced: NDArray[np.bool_] = registry.priced & ~np.isnan(seconds)
        self.all_priced: bool = bool(self.priced.all())
        self.room: Floats = registry.context_window - self.output_tokens
        self.least_room: float = float(self.room.min(initial=np.inf))

    def _follow_members(self, registry: AgentRegistry, seen: Outcomes) -> None:
        """Let an ensemble that nothing was recorded of be as slow as its slowest member."""
        for ensemble, members in registry.ensembles.items():
            if not seen.latency_count[ensemble]:
                self.latency_ms[ensemble] = self.latency_ms[members].max()


def blend(prior: Floats, strength: float, mean: Floats, count: Floats) -> Floats:
    """Return prior and observed mean weighed by their numbers of observations.

    Args:
        prior: registered values, NaN where unknown, shape [n].
        strength: how many observations a registered value counts as.
        mean: observed means, shape [n].
        count: how many observations each is the mean of.

    An unknown prior counts nothing; with no observation either, the result is NaN.
    """
    weight = np.where(np.isnan(prior), 0.0, strength)
    total = weight + count
    summed = np.nan_to_num(prior, nan=0.0) * weight + np.nan_to_num(mean, nan=0.0) * count
    with np.errstate(invalid="ignore", divide="ignore"):
        blended: Floats = summed / total
    # Without observations the registered value itself: no rounding on the way.
    return np.where(count > 0.0, blended, prior)
