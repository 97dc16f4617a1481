"""Estimates of another policy's mean reward from what a randomised one recorded.

Sources: Swaminathan and Joachims, The Self-Normalized Estimator for Counterfactual Learning,
NeurIPS 2015; Dudík, Langford, Li, Doubly Robust Policy Evaluation and Learning, ICML 2011, with
normalised weights as in Thomas and Brunskill, ICML 2016; intervals from the influence function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
# An estimate, and the lower and upper end of its interval.
Reach = tuple[float, float, float]

# The 97.5 % point of the normal distribution.
NORMAL_QUANTILE = 1.959963984540054
# The quantile of fewer is not worked out.
LEAST_DEGREES = 5.0
# So many matches in proportion are added to those that show how rewards go with guesses.
PROPORTION_STRENGTH = 5.0
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


class Sample(NamedTuple):
    """What an estimate of a mean rests on.

    Attributes:
        influence: what each decision moves it by, [n]; their squares sum to its variance.
        size: effective sample size.
        rewards: that were observed.
        predicted: of the policy by a model that the estimate takes into account; None without one.
        foreseen: variance beside that, which follows from guesses and probabilities alone.
    """

    influence: Floats
    size: float
    rewards: Floats
    predicted: Floats | None = None
    foreseen: float = 0.0

    @property
    def observed(self) -> float:
        """Variance of the estimate as far as it shows in the rewards."""
        return float(self.influence @ self.influence)

    @property
    def degrees(self) -> float:
        """Of freedom with which the variance is known.

        A few decisions may make most of what was observed; it is known as well as from as many
        decisions of equal influence. What was foreseen is known for certain.

        Source: Satterthwaite, Approximate Distribution of Estimates of Variance Components, 1946.
        """
        fourth = float((self.influence**4).sum())
        if fourth == 0.0:
            return math.inf
        equal = self.observed**2 / fourth
        share = self.observed / (self.observed + self.foreseen)
        return max(min(self.size, equal) - 1.0, LEAST_DEGREES) / share**2


# From an estimate and what it rests on to what can be of both, and the interval.
Interval = Callable[[float, Sample], Reach]


def self_normalised(
    matches: Matches, rewards: Floats, interval: Interval, guesses: Floats | None = None
) -> PolicyEstimate:
    """Estimate by the mean of the matching rewards, weighed by how unlikely the match was.

    Args:
        matches: of n decisions, at least one of which matches.
        rewards: finite, [n].
        interval: for what is measured.
        guesses: of the rewards of what the policy chooses, as the price list is of costs, [n];
            None or NaN where there are none. They do not move the estimate. But a few matches may
            hold none of the dear ones and show no trace of them; from guesses and probabilities
            follows how much that happens by chance.
    """
    weights = matches.weights
    estimate = float(weights @ rewards / weights.sum())
    centres, foreseen = np.full(len(rewards), estimate), 0.0
    if guesses is not None and weights @ guesses > 0.0:
        slope, guessed = _slope(matches, rewards, guesses)
        centres = estimate + slope * (guesses - guessed)
        foreseen = slope**2 * _foreseen(matches, guesses)
    influence = _influence(weights, rewards - centres) / len(weights)
    sample = Sample(influence, matches.effective_sample_size, rewards, foreseen=foreseen)
    return PolicyEstimate(*interval(estimate, sample))


def _slope(matches: Matches, rewards: Floats, guesses: Floats) -> tuple[float, float]:
    """Return by how much rewards rise with guesses, and the mean of the guesses.

    By regression over the matches, so that guesses that have nothing to do with the rewards move
    nothing; and a few matches' worth of proportion added, for where all guesses are alike.
    """
    weights = matches.weights
    mean = float(weights @ guesses / weights.sum())
    proportion = float(weights @ rewards / (weights @ guesses))
    added = PROPORTION_STRENGTH * mean**2 * float(weights.sum()) / matches.effective_sample_size
    across = weights * (guesses - mean)
    together = float(across @ rewards) + added * proportion
    return together / (float(across @ (guesses - mean)) + added), mean


def _foreseen(matches: Matches, guesses: Floats) -> float:
    """Return the variance that the weighted mean of guesses has by chance alone."""
    mean = float(matches.stakes @ guesses / matches.stakes.sum())
    moved = matches.stakes * (guesses - mean) / matches.stakes.sum()
    return float((moved**2 / matches.probabilities).sum())


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
    sample = Sample(influence, size, rewards[known], predicted)
    return PolicyEstimate(*interval(modelled + correction, sample))


def _influence(weights: Floats, residuals: Floats) -> Floats:
    """What each row moves a weighted mean by, times n, [n].

    As the jackknife has it: a row of great weight draws the mean to itself, which makes its
    residual look small.
    """
    leverage = np.minimum(weights / weights.sum(), MOST_LEVERAGE)
    return np.asarray(weights * residuals / (weights.mean() * (1.0 - leverage)))


def rate_interval(estimate: float, sample: Sample) -> Reach:
    """Return a rate and Wilson's score interval of it.

    Its sample size is the number of outcomes of a single rate that vary as much as the estimate
    does, and so no more than the effective sample size: who saw no failure in a few decisions does
    not know that there are none.

    Source: Wilson, Probable Inference, JASA 1927; with the sample size of Korn and Graubard,
    Confidence Intervals for Proportions with Small Expected Number of Positive Counts, 1998.
    """
    rate = min(max(estimate, 0.0), 1.0)
    predicted = np.array([rate]) if sample.predicted is None else sample.predicted
    variance = max(sample.observed + sample.foreseen, _noise(sample, predicted) / sample.size)
    if variance <= 0.0:
        return rate, rate, rate
    within = float(_within(np.array([rate]), sample.size)[0])
    count = within * (1.0 - within) / variance
    squared = student_quantile(sample.size - 1.0) ** 2 / count
    centre = (rate + squared / 2.0) / (1.0 + squared)
    reach = (squared * (rate * (1.0 - rate) + squared / 4.0)) ** 0.5 / (1.0 + squared)
    return rate, max(centre - reach, 0.0), min(centre + reach, 1.0)


def _noise(sample: Sample, predicted: Floats) -> float:
    """Return the variance of a single rate around what is predicted of it."""
    mean = float(sample.rewards.mean())
    most = mean * (1.0 - mean)
    # Rates that are no successes and failures vary less.
    share = float(sample.rewards.var()) / most if most > 0.0 else 1.0
    within = _within(predicted, sample.size)
    return share * float((within * (1.0 - within)).mean())


def _within(rates: Floats, size: float) -> Floats:
    """Keep rates from 0 and 1, by half of one outcome: less is not told apart."""
    return rates.clip(0.5 / size, 1.0 - 0.5 / size)


def cost_interval(estimate: float, sample: Sample) -> Reach:
    """Return dollars and an interval that is symmetric in the logarithm."""
    variance = sample.observed + sample.foreseen
    if variance <= 0.0:
        return estimate, estimate, estimate
    reach = variance**0.5 * student_quantile(sample.degrees)
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
    z, v = NORMAL_QUANTILE, max(degrees, LEAST_DEGREES)
    if math.isinf(v):
        return z
    return (
        z
        + (z**3 + z) / (4.0 * v)
        + (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / (96.0 * v**2)
        + (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / (384.0 * v**3)
    )
