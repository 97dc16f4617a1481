"""A registered quality that is believed until the outcomes speak against it.

A prior worth many outcomes keeps chance from turning the ranking of agents round: after a hundred
outcomes each, the best of nine looks second best now and then. Yet a prior worth that much would
defend a wrong figure for just as long. So it is doubted: with a small probability the registered
quality is only a guess, worth a few outcomes. As long as the outcomes are what the registered
quality makes likely, that hardly matters; where they are not, the guess is what is left of it.

Source: Schmidli et al., Robust meta-analytic-predictive priors, Biometrics 70, 2014.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError

Floats = NDArray[np.float64]

# Beyond these a prior would be a certainty, which no outcome could move.
LEAST, MOST = 1e-3, 1.0 - 1e-3


@dataclass(frozen=True, slots=True)
class RobustPrior:
    """How much registered qualities are worth.

    Attributes:
        strength: outcomes that a registered quality counts as.
        doubted_strength: outcomes that it counts as where it is only a guess.
        doubt: probability that it is.
    """

    strength: float = 400.0
    doubted_strength: float = 20.0
    doubt: float = 0.05

    def __post_init__(self) -> None:
        for name in ("strength", "doubted_strength"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise InvalidArgumentError(f"{name} must be above 0, not {value!r}")
        if not 0.0 < self.doubt < 1.0:
            raise InvalidArgumentError(f"doubt must lie between 0 and 1, not {self.doubt!r}")

    def posterior_mean(self, prior: Floats, mean: Floats, count: Floats) -> Floats:
        """Return the expected quality of each agent after its outcomes, [n].

        Args:
            prior: registered qualities, NaN where unknown, [n].
            mean: observed means in [0, 1]; anything where the count is 0, [n].
            count: how many outcomes each is the mean of, [n].

        Without outcomes that is the registered quality itself; where that is unknown, the mean;
        with neither NaN.
        """
        expected = np.where(count > 0.0, mean, prior)
        for place in np.flatnonzero((count > 0.0) & ~np.isnan(prior)).tolist():
            expected[place] = self._mean_of(
                min(max(float(prior[place]), LEAST), MOST), float(mean[place]), float(count[place])
            )
        return expected

    def _mean_of(self, prior: float, mean: float, count: float) -> float:
        believed = _log_likelihood(self.strength, prior, mean * count, count)
        doubted = _log_likelihood(self.doubted_strength, prior, mean * count, count)
        gap = doubted - believed + math.log(self.doubt / (1.0 - self.doubt))
        trust = 1.0 / (1.0 + math.exp(min(gap, 700.0)))
        strong, weak = (
            (strength * prior + mean * count) / (strength + count)
            for strength in (self.strength, self.doubted_strength)
        )
        return trust * strong + (1.0 - trust) * weak


def _log_likelihood(strength: float, prior: float, successes: float, count: float) -> float:
    """Log of the beta-binomial likelihood, but for what does not depend on the strength."""
    for_it, against = strength * prior, strength * (1.0 - prior)
    return (
        math.lgamma(for_it + successes)
        + math.lgamma(against + count - successes)
        - math.lgamma(strength + count)
        + math.lgamma(strength)
        - math.lgamma(for_it)
        - math.lgamma(against)
    )
