"""Expected quality in a decision: registered prior, observed level and learned head together.

In log-odds, for agent a and request x:

    level(a) + (1 - trust(a) / most) · shading(a, x) + trust(a) · (head(a, x) - typical(a))

The level is the registered quality, moved to the mean of what the model was trained on and then to
what came in since, each by its number of outcomes. The head says how much better or worse than
usual the agent will do on this request; it is trusted by the number of requests it rests on, and
takes the place of the shading by capability similarity to the same degree; even of very many it is
not believed as a whole, for other kinds of requests may come. Without outcomes nothing
but the shaded prior is left, so a cold start is never worse than what was registered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.performance import AgentPerformance
from tiny_dancer.agents.registry import AgentRegistry, prior_log_odds
from tiny_dancer.expected_quality import ONE
from tiny_dancer.learning.router_model import RouterModel
from tiny_dancer.predictors.linear_heads import log_odds
from tiny_dancer.predictors.prior_blend import PriorBlend
from tiny_dancer.tie_rounding import round_similarities
from tiny_dancer.weights import Float32Array

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NewOutcomes:
    """What came in since a model was trained, for each agent of a registry, shape [n].

    Attributes:
        count: outcomes.
        quality: their mean.
        foreseen: of how many the model's expectation was recorded.
        foreseen_quality: the mean of these expectations.
    """

    count: Floats
    quality: Floats
    foreseen: Floats
    foreseen_quality: Floats

    @classmethod
    def none(cls, agents: int) -> Self:
        """Nothing came in."""
        return cls(*(np.zeros(agents) for _ in range(4)))


class LearnedQuality:
    """A router model over the agents of one registry.

    Args:
        model: its heads belong to agents by their ids; those that are not in the registry, as they
            were removed, count for nothing.
        registry: n agents.
        performance: of them; what is expected where the model has no head.
        similarity_weight: log-odds for each unit of similarity.
        blending: how fast what was observed takes the place of what was registered.
        news: what came in since the model was trained.

    Attributes:
        model: as given.
        learned: who has a head that rests on outcomes, [n].
        observations: outcomes behind the expected quality of each agent, [n].
    """

    def __init__(
        self,
        model: RouterModel,
        registry: AgentRegistry,
        performance: AgentPerformance,
        similarity_weight: float,
        blending: PriorBlend | None = None,
        news: NewOutcomes | None = None,
    ) -> None:
        self.model = model
        self._blend = blending or PriorBlend()
        count = len(registry)
        recent = news or NewOutcomes.none(count)
        place = {agent_id: column for column, agent_id in enumerate(model.agent_ids)}
        columns = np.array([place.get(agent_id, -1) for agent_id in registry.ids], dtype=np.intp)
        trained = np.where(columns >= 0, model.requests[columns], 0.0)
        self.learned: NDArray[np.bool_] = trained > 0.0
        self._positions = np.flatnonzero(self.learned)
        self._columns = columns[self._positions]
        self._all = len(self._positions) == count
        # Of agents in the order of the heads nothing has to be picked out.
        self._in_order = list(self._columns) == list(range(len(model.agent_ids)))
        trust = self._blend.trust(trained)
        self._trust = trust[self._positions]
        means = np.where(self.learned, model.means[columns], np.nan)
        level = np.where(
            self.learned,
            prior_log_odds(self._blend.level(registry.quality, means, trained)),
            performance.log_odds,
        )
        self._drift = np.where(self.learned, self._shift(level, recent), 0.0)
        #: What does not depend on the request, without and with what came in since.
        self._settled = level - np.where(self.learned, trust * log_odds(np.nan_to_num(means)), 0.0)
        self._base = self._settled + self._drift
        # Negative, as all log-odds are until the end: the sigmoid then needs a pass less.
        self._minus_shade = -similarity_weight * (1.0 - trust / self._blend.most_trust)
        outcomes = np.where(self.learned, model.outcomes[columns], 0.0) + recent.count
        self.observations: Floats = np.where(self.learned, outcomes, performance.requests)

    def _shift(self, level: Floats, recent: NewOutcomes) -> Floats:
        """Return how far what came in since moves each agent, in log-odds.

        The outcomes are compared with what the model expected of them, and with the level where
        that was not recorded: an agent that was sent harder requests has not become worse.
        """
        usual = 1.0 / (1.0 + np.exp(-level))
        others = recent.count - recent.foreseen
        total = recent.foreseen * recent.foreseen_quality + others * usual
        expected = np.where(recent.count > 0.0, total / np.maximum(recent.count, 1.0), usual)
        moved = self._blend.level(expected, recent.quality, recent.count)
        return log_odds(moved) - log_odds(expected)

    def head_log_odds(self, embedding: Float32Array, lexical: Float32Array | None) -> Floats:
        """Return what the heads say of one request, in log-odds times trust, [h]."""
        return self._weighed(self.model.log_odds(embedding, lexical))

    def head_log_odds_batch(self, embeddings: Float32Array, lexical: Float32Array | None) -> Floats:
        """Return what the heads say of several requests, [b, h]."""
        return self._weighed(self.model.log_odds_batch(embeddings, lexical))

    def _weighed(self, predicted: Float32Array | Floats) -> Floats:
        if not self._in_order:
            # Of one request in a third of the time that its general form takes.
            one = predicted.ndim == 1
            predicted = predicted[self._columns] if one else predicted[..., self._columns]
        # As with similarities: made alone and in a batch, predictions differ in their last bits.
        odds = round_similarities(predicted)
        odds *= self._trust
        return odds

    def expected(self, heads: Floats, nearness: Floats) -> Floats:
        """Return the expected quality of each agent, [n] or [b, n].

        Args:
            heads: see ``head_log_odds``, [h] or [b, h].
            nearness: similarity of each agent's capabilities and the request, less the similarity
                that changes nothing, [n] or [b, n].
        """
        return self._quality(self._base, heads, nearness)

    def foreseen(self, heads: Floats, nearness: Floats) -> Floats:
        """Return the same by the model alone, without what came in since; NaN without a head."""
        quality = self._quality(self._settled, heads, nearness)
        quality[..., ~self.learned] = np.nan
        return quality

    def _quality(self, base: Floats, heads: Floats, nearness: Floats) -> Floats:
        odds = nearness * self._minus_shade
        odds -= base
        if self._all:
            odds -= heads
        else:
            odds[..., self._positions] -= heads
        np.exp(odds, out=odds)
        odds += ONE
        quality: Floats = np.reciprocal(odds, out=odds)
        return quality

    def uncertainty(self, expected: Floats) -> Floats:
        """Standard deviation of expected qualities, [n]."""
        return self._blend.uncertainty(expected, self.observations)
