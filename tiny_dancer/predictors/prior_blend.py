"""Expected quality from a registered prior, an observed mean and a learned predictor.

The agent's level is its prior moved to its observed mean by the number of outcomes, the quicker
the less the two agree (``RobustPrior``). A learned predictor then says how much better or worse
than at large the agent is on this request, in log-odds, and is believed the more outcomes it rests
on. Without outcomes the prior decides alone, so a cold start is never worse than what was
registered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.robust_prior import RobustPrior
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.linear_heads import log_odds
from tiny_dancer.training.sigmoid_cross_entropy import sigmoid

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PriorBlend:
    """How fast what was observed replaces what was registered.

    Attributes:
        prior: how much a registered quality is worth.
        predictor_strength: outcomes of an agent at which its learned deviation counts half as much
            as it ever will.
        most_trust: what it counts at most. Of kinds of requests that were never learned from,
            deviations come true by about four fifths (of MMLU by .76 to .85 where whole subjects
            are left out, and as they are where single questions are); what will be asked is some
            of both.

    The defaults are slow on purpose: with registered means and 100 outcomes per agent, a prior of
    20 outcomes that nothing defends lost more than a point of accuracy against the best single
    agent.
    """

    prior: RobustPrior = RobustPrior()  # noqa: RUF009  (immutable)
    predictor_strength: float = 150.0
    most_trust: float = 0.92

    def __post_init__(self) -> None:
        value = self.predictor_strength
        if not (np.isfinite(value) and value > 0.0):
            raise InvalidArgumentError(f"predictor_strength must be above 0, not {value!r}")
        if not 0.0 < self.most_trust <= 1.0:
            raise InvalidArgumentError(f"most_trust must lie in (0, 1], not {self.most_trust!r}")

    def trust(self, counts: Floats) -> Floats:
        """How much the learned deviation of each agent counts, below 1, [a].

        Args:
            counts: outcomes of each agent that it learned from, [a].
        """
        return np.asarray(self.most_trust * counts / (counts + self.predictor_strength))

    def level(self, prior: Floats, means: Floats, counts: Floats) -> Floats:
        """Quality of each agent at large, [a]; NaN where neither is known.

        Args:
            prior: registered quality, NaN where unknown, [a].
            means: observed mean quality, [a]; anything where the count is 0.
            counts: outcomes of each agent, [a].
        """
        return self.prior.posterior_mean(prior, means, counts)

    def expected(self, level: Floats, predicted: Floats, typical: Floats, counts: Floats) -> Floats:
        """Quality of each agent on a request.

        Args:
            level: see ``level``, [a].
            predicted: by the learned predictor for the request, [a] or [n, a].
            typical: its prediction at large: the means of the rows that it learned from, [a].
            counts: outcomes of each agent that it learned from, [a].

        Returns:
            Shaped as ``predicted``. The level itself where an agent has no outcomes.
        """
        trust = self.trust(counts)
        moved = sigmoid(log_odds(level) + trust * (log_odds(predicted) - log_odds(typical)))
        return np.asarray(np.where(trust > 0.0, moved, level), dtype=np.float64)

    def uncertainty(self, expected: Floats, counts: Floats) -> Floats:
        """Standard deviation of the expected quality, shaped as ``expected``.

        That of a Beta posterior with as many outcomes as a doubted prior and the observations
        together: it says how well the level is known, not how much single outcomes scatter.

        Args:
            expected: [a] or [n, a].
            counts: outcomes of each agent, [a].
        """
        spread = expected * (1.0 - expected) / (self.prior.doubted_strength + counts + 1.0)
        return np.asarray(np.sqrt(np.maximum(spread, 0.0)))
