"""Estimates of another policy's mean reward from what a randomised one recorded.

Sources: Swaminathan and Joachims, The Self-Normalized Estimator for Counterfactual Learning,
NeurIPS 2015; Dudík, Langford, Li, Doubly Robust Policy Evaluation and Learning, ICML 2011, with
normalised weights as in Thomas and Brunskill, ICML 2016; intervals from the influence function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

# The 97.5 % point of the normal distribution.
NORMAL_QUANTILE = 1.959963984540054
# Nothing is divided by less than a tenth.
MOST_LEVERAGE = 0.9

# Below this the formula of a skewed mean loses its precision.
LEAST_SKEWNESS = 1e-6
PSEUDO_OUTCOMES = 4.0

# What a reward can be at least and at most.
Bounds = tuple[float, float]
RATE: Bounds = (0.0, 1.0)
DOLLARS: Bounds = (0.0, math.inf)


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


def self_normalised(matches: Matches, rewards: Floats, bounds: Bounds) -> PolicyEstimate:
    """Estimate by the mean of the matching rewards, weighed by how unlikely the match was.

    Args:
        matches: of n decisions, at least one of which matches.
        rewards: finite, [n].
        bounds: what a reward can be at least and at most.
    """
    weights = matches.weights
    estimate = float(weights @ rewards / weights.sum())
    influence = _influence(weights, rewards - estimate)
    return _with_interval(estimate, influence, matches, bounds)


def doubly_robust(
    matches: Matches,
    rewards: Floats,
    predicted: Floats,
    predicted_recorded: Floats,
    bounds: Bounds,
) -> PolicyEstimate:
    """Estimate by a model of the rewards, corrected by its weighed errors on matching decisions.

    Args:
        matches: of n decisions.
        rewards: NaN without an outcome, [n]; at least one match has one.
        predicted: by the model for what the policy chooses, [n].
        predicted_recorded: by the model for what was chosen, [n].
        bounds: what a reward can be at least and at most.
    """
    known = ~np.isnan(rewards)
    weights = matches.weights[known]
    errors = rewards[known] - predicted_recorded[known]
    correction = float(weights @ errors / weights.sum())
    modelled = float(predicted.mean())
    influence = predicted - modelled
    # Few of the decisions may have outcomes; the correction is a mean over those alone.
    influence[known] += _influence(weights, errors - correction) * (len(known) / known.sum())
    return _with_interval(modelled + correction, influence, matches.rows(known), bounds)


def _influence(weights: Floats, residuals: Floats) -> Floats:
    """What each row moves a weighted mean by, times n, [n].

    As the jackknife has it: a row of great weight draws the mean to itself, which makes its
    residual look small.
    """
    leverage = np.minimum(weights / weights.sum(), MOST_LEVERAGE)
    return np.asarray(weights * residuals / (weights.mean() * (1.0 - leverage)))


def _with_interval(
    estimate: float, influence: Floats, matches: Matches, bounds: Bounds
) -> PolicyEstimate:
    """Return an estimate, kept within the bounds, with its interval.

    Where rewards are bounded on both sides, four outcomes that were not observed, two of each
    kind, are added for the interval (Agresti and Coull, The American Statistician 1998): who saw
    no failure in a few decisions does not know that there are none. The interval is then that of
    a skewed mean.
    """
    size = matches.effective_sample_size
    least, most = bounds
    centre, scaled = estimate, influence / len(influence)
    if most < math.inf:
        share = PSEUDO_OUTCOMES / (size + PSEUDO_OUTCOMES)
        centre = (1.0 - share) * estimate + share * (least + most) / 2.0
        unseen = np.repeat([least - centre, most - centre], int(PSEUDO_OUTCOMES / 2))
        scaled = np.concatenate(((1.0 - share) * scaled, unseen * share / PSEUDO_OUTCOMES))
    low, high = skewed_interval(centre, scaled, student_quantile(size - 1.0))
    return PolicyEstimate(
        min(max(estimate, least), most), min(max(low, least), most), max(min(high, most), least)
    )


def skewed_interval(estimate: float, influence: Floats, quantile: float) -> tuple[float, float]:
    """Return an interval of a mean whose influences are skewed.

    Args:
        estimate: the mean.
        influence: what each row moves it by, [n]; their squares sum to its variance.
        quantile: of the studentised mean if nothing were skewed.

    Source: Hall, On the Removal of Skewness by Transformation, JRSS B 1992.
    """
    variance = float(influence @ influence)
    if variance <= 0.0:
        return estimate, estimate
    deviation = variance**0.5
    skewness = float((influence**3).sum()) / (variance * deviation)
    low, high = (_unskewed(point, skewness) for point in (quantile, -quantile))
    return estimate - deviation * low, estimate - deviation * high


def _unskewed(point: float, skewness: float) -> float:
    """Return where a skewed studentised mean has the quantile that is ``point`` without skew."""
    if abs(skewness) < LEAST_SKEWNESS:
        return point
    inner = 1.0 + skewness * (point - skewness / 6.0)
    return 3.0 / skewness * (math.copysign(abs(inner) ** (1.0 / 3.0), inner) - 1.0)


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
