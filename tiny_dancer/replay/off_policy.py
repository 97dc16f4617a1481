"""Estimates of another policy's mean reward from what a randomised one recorded.

Sources: Swaminathan and Joachims, The Self-Normalized Estimator for Counterfactual Learning,
NeurIPS 2015; Dudík, Langford, Li, Doubly Robust Policy Evaluation and Learning, ICML 2011, with
normalised weights as in Thomas and Brunskill, ICML 2016; intervals from the influence function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

# The 97.5 % point of the normal distribution.
NORMAL_QUANTILE = 1.959963984540054
# Nothing is divided by less than a tenth.
MOST_LEVERAGE = 0.9

# From an estimate and how far it may be off to an interval.
Scale = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class PolicyEstimate:
    """A mean reward and where it lies with 95 % confidence."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """How recorded decisions and those of another policy agree, over n decisions.

    Attributes:
        weights: 1 / probability of what was chosen where both choose it, else 0, [n].
        probabilities: with which what the policy chooses was drawn, [n].
    """

    weights: Floats
    probabilities: Floats

    def rows(self, kept: Booleans) -> Matches:
        """Return those of some of the decisions."""
        return Matches(self.weights[kept], self.probabilities[kept])

    @property
    def effective_sample_size(self) -> float:
        """How many decisions of the policy itself the recorded ones are worth.

        Kish's (sum of weights)² / sum of squared weights, or the same with its expectations,
        n² / sum of 1 / probability, whichever is less. The first alone looks large where by chance
        nothing was recorded of what only the other policy does.
        """
        squares = float((self.weights**2).sum())
        if squares == 0.0:
            return 0.0
        kish = float(self.weights.sum()) ** 2 / squares
        return min(kish, len(self.weights) ** 2 / float((1.0 / self.probabilities).sum()))


def self_normalised(matches: Matches, rewards: Floats, scale: Scale) -> PolicyEstimate:
    """Estimate by the mean of the matching rewards, weighed by how unlikely the match was.

    Args:
        matches: of n decisions, at least one of which matches.
        rewards: finite, [n].
        scale: on which the interval is symmetric.
    """
    weights = matches.weights
    estimate = float(weights @ rewards / weights.sum())
    return _with_interval(estimate, _influence(weights, rewards - estimate), matches, scale)


def doubly_robust(
    matches: Matches,
    rewards: Floats,
    predicted: Floats,
    predicted_recorded: Floats,
    scale: Scale,
) -> PolicyEstimate:
    """Estimate by a model of the rewards, corrected by its weighed errors on matching decisions.

    Args:
        matches: of n decisions.
        rewards: NaN without an outcome, [n]; at least one match has one.
        predicted: by the model for what the policy chooses, [n].
        predicted_recorded: by the model for what was chosen, [n].
        scale: on which the interval is symmetric.
    """
    known = ~np.isnan(rewards)
    weights = matches.weights[known]
    errors = rewards[known] - predicted_recorded[known]
    correction = float(weights @ errors / weights.sum())
    modelled = float(predicted.mean())
    influence = predicted - modelled
    # Few of the decisions may have outcomes; the correction is a mean over those alone.
    influence[known] += _influence(weights, errors - correction) * (len(known) / known.sum())
    return _with_interval(modelled + correction, influence, matches.rows(known), scale)


def _influence(weights: Floats, residuals: Floats) -> Floats:
    """What each row moves a weighted mean by, times n, [n].

    As the jackknife has it: a row of great weight draws the mean to itself, which makes its
    residual look small.
    """
    leverage = np.minimum(weights / weights.sum(), MOST_LEVERAGE)
    return np.asarray(weights * residuals / (weights.mean() * (1.0 - leverage)))


def _with_interval(
    estimate: float, influence: Floats, matches: Matches, scale: Scale
) -> PolicyEstimate:
    deviation = float(np.sqrt(influence @ influence)) / len(influence)
    reach = deviation * student_quantile(matches.effective_sample_size - 1.0)
    return PolicyEstimate(estimate, *scale(estimate, reach))


def dollars(estimate: float, reach: float) -> tuple[float, float]:
    """Return an interval that is symmetric in the logarithm: few requests may cost much."""
    if estimate <= 0.0:
        return 0.0, max(estimate, 0.0) + reach
    factor = math.exp(min(reach / estimate, 700.0))
    return estimate / factor, estimate * factor


def rate(estimate: float, reach: float) -> tuple[float, float]:
    """Return an interval that is symmetric in the log-odds and lies within [0, 1]."""
    if not (0.0 < estimate < 1.0):
        return max(estimate - reach, 0.0), min(estimate + reach, 1.0)
    odds = math.log(estimate / (1.0 - estimate))
    reach = min(reach / (estimate * (1.0 - estimate)), 700.0)
    return 1.0 / (1.0 + math.exp(reach - odds)), 1.0 / (1.0 + math.exp(-reach - odds))


def student_quantile(degrees: float) -> float:
    """Return the 97.5 % point of Student's t distribution.

    Args:
        degrees: of freedom; right to three digits from 5 on. Fewer count as 5.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z, v = NORMAL_QUANTILE, max(degrees, 5.0)
    if math.isinf(v):
        return z
    return (
        z
        + (z**3 + z) / (4.0 * v)
        + (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / (96.0 * v**2)
        + (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / (384.0 * v**3)
    )
