"""Estimates of another policy's mean reward from what a randomised one recorded.

Sources: Swaminathan and Joachims, The Self-Normalized Estimator for Counterfactual Learning,
NeurIPS 2015; Dudík, Langford, Li, Doubly Robust Policy Evaluation and Learning, ICML 2011, with
normalised weights as in Thomas and Brunskill, ICML 2016; intervals from the influence function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
# An estimate, and the lower and upper end of its interval.
Reach = tuple[float, float, float]

# The 97.5 % point of the normal distribution.
NORMAL_QUANTILE = 1.959963984540054
# Nothing is divided by less than a tenth.
MOST_LEVERAGE = 0.9
# The exponential of more is not finite.
MOST_EXPONENT = 700.0


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
        weights: how many decisions of the policy each one that matches stands for, 0 for the
            others, [n].
        probabilities: with which what the policy chooses was drawn, [n].
        stakes: how many decisions each stands for beside that, [n].
    """

    weights: Floats
    probabilities: Floats
    stakes: Floats

    @classmethod
    def of(cls, matching: Booleans, probabilities: Floats) -> Self:
        """Return matches where each decision stands for itself; see above."""
        weights = np.where(matching, 1.0 / probabilities, 0.0)
        return cls(weights, probabilities, np.ones(len(weights)))

    def standing_for(self, others: Floats) -> Self:
        """Return the same where each stands for others, too, [n]."""
        return type(self)(self.weights * others, self.probabilities, self.stakes * others)

    def rows(self, kept: Booleans) -> Self:
        """Return those of some of the decisions."""
        return type(self)(self.weights[kept], self.probabilities[kept], self.stakes[kept])

    @property
    def effective_sample_size(self) -> float:
        """How many decisions of the policy itself the recorded ones are worth.

        Kish's (sum of weights)² / sum of squared weights, or the same with their expectations
        over what was drawn, whichever is less. The first alone looks large where by chance nothing
        was recorded of what only the other policy does.
        """
        squares = float((self.weights**2).sum())
        if squares == 0.0:
            return 0.0
        kish = float(self.weights.sum()) ** 2 / squares
        expected = float((self.stakes**2 / self.probabilities).sum())
        return min(kish, float(self.stakes.sum()) ** 2 / expected)


class Interval(Protocol):
    """Makes an interval that suits what is measured."""

    def __call__(
        self,
        estimate: float,
        influence: Floats,
        size: float,
        rewards: Floats,
        expected: Floats,
    ) -> Reach:
        """Return an estimate within what can be, and its interval.

        Args:
            estimate: a mean.
            influence: what each decision moves it by, [n]; their squares sum to its variance.
            size: effective sample size.
            rewards: that were observed.
            expected: what the estimate takes rewards to be on average, one or for each decision.
        """
        ...


def self_normalised(matches: Matches, rewards: Floats, interval: Interval) -> PolicyEstimate:
    """Estimate by the mean of the matching rewards, weighed by how unlikely the match was.

    Args:
        matches: of n decisions, at least one of which matches.
        rewards: finite, [n].
        interval: for what is measured.
    """
    weights = matches.weights
    estimate = float(weights @ rewards / weights.sum())
    influence = _influence(weights, rewards - estimate) / len(weights)
    size = matches.effective_sample_size
    return PolicyEstimate(*interval(estimate, influence, size, rewards, np.array([estimate])))


def doubly_robust(
    matches: Matches,
    rewards: Floats,
    predicted: Floats,
    predicted_recorded: Floats,
    interval: Interval,
) -> PolicyEstimate:
    """Estimate by a model of the rewards, corrected by its weighed errors on matching decisions.

    Args:
        matches: of n decisions.
        rewards: NaN without an outcome, [n]; at least one match has one.
        predicted: by the model for what the policy chooses, [n].
        predicted_recorded: by the model for what was chosen, [n].
        interval: for what is measured.
    """
    known = ~np.isnan(rewards)
    weights = matches.weights[known]
    errors = rewards[known] - predicted_recorded[known]
    correction = float(weights @ errors / weights.sum())
    modelled = float(predicted.mean())
    influence = (predicted - modelled) / len(predicted)
    # Few of the decisions may have outcomes; the correction is a mean over those alone.
    influence[known] += _influence(weights, errors - correction) / len(weights)
    size = matches.rows(known).effective_sample_size
    return PolicyEstimate(
        *interval(modelled + correction, influence, size, rewards[known], predicted)
    )


def _influence(weights: Floats, residuals: Floats) -> Floats:
    """What each row moves a weighted mean by, times n, [n].

    As the jackknife has it: a row of great weight draws the mean to itself, which makes its
    residual look small.
    """
    leverage = np.minimum(weights / weights.sum(), MOST_LEVERAGE)
    return np.asarray(weights * residuals / (weights.mean() * (1.0 - leverage)))


def _noise(rates: Floats, expected: Floats, size: float) -> float:
    """Return the variance of a single rate, given what is expected of it.

    Args:
        rates: that were observed.
        expected: in [0, 1].
        size: effective sample size; so many outcomes tell no rate from 0 or 1 that is half of
            one in them.
    """
    mean = float(rates.mean())
    most = mean * (1.0 - mean)
    # Rates that are no successes and failures vary less.
    share = float(rates.var()) / most if most > 0.0 else 1.0
    within = expected.clip(0.5 / size, 1.0 - 0.5 / size)
    return share * float((within * (1.0 - within)).mean())


def rate_interval(
    estimate: float, influence: Floats, size: float, rewards: Floats, expected: Floats
) -> Reach:
    """Return a rate and Wilson's score interval of it.

    Its sample size is the number of outcomes of a single rate that vary as much as the estimate
    does, and so no more than the effective sample size: who saw no failure in a few decisions does
    not know that there are none.

    Source: Wilson, Probable Inference, JASA 1927; with the sample size of Korn and Graubard,
    Confidence Intervals for Proportions with Small Expected Number of Positive Counts, 1998.
    """
    rate = min(max(estimate, 0.0), 1.0)
    variance = max(float(influence @ influence), _noise(rewards, expected, size) / size)
    if variance <= 0.0:
        return rate, rate, rate
    # None or all of the decisions do not tell how much the rate varies; half of one more does.
    within = min(max(rate, 0.5 / size), 1.0 - 0.5 / size)
    count = within * (1.0 - within) / variance
    squared = student_quantile(size - 1.0) ** 2 / count
    centre = (rate + squared / 2.0) / (1.0 + squared)
    reach = (squared * (rate * (1.0 - rate) + squared / 4.0)) ** 0.5 / (1.0 + squared)
    return rate, max(centre - reach, 0.0), min(centre + reach, 1.0)


def cost_interval(
    estimate: float, influence: Floats, size: float, rewards: Floats, expected: Floats
) -> Reach:
    """Return dollars and an interval that is symmetric in the logarithm.

    A few decisions may make most of the variance. Then it is known badly, and the quantile is
    that of as many degrees of freedom as decisions of equal influence would have.
    """
    variance = float(influence @ influence)
    if variance <= 0.0:
        return estimate, estimate, estimate
    equal = variance**2 / float((influence**4).sum())
    reach = variance**0.5 * student_quantile(min(size, equal) - 1.0)
    if estimate <= 0.0:
        return 0.0, 0.0, reach
    factor = math.exp(min(reach / estimate, MOST_EXPONENT))
    return estimate, estimate / factor, estimate * factor


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
