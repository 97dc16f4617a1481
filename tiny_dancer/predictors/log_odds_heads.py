"""Predictors whose log-odds are linear in features of the request: a head per agent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from tiny_dancer.predictors.linear_heads import probabilities
from tiny_dancer.predictors.observations import Floats
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.predictors.request_inputs import RequestInputs
from tiny_dancer.weights import Float32Array


class LogOddsHeads(QualityPredictor):
    """Sets ``_inputs``, ``_heads`` [a, f] and ``_offset`` [a], and computes the features.

    Features are made in two steps, products of the standardised request with some rows and what is
    made of these, so that several predictors read a request once and meet it by one product
    (``JoinedHeads``). The inputs are standardised alike in every such predictor; what scale it
    wants is folded into its weights.
    """

    _inputs: RequestInputs
    _heads: Float32Array
    _offset: Float32Array

    @property
    @abstractmethod
    def _rows(self) -> Float32Array | None:
        """What standardised requests are multiplied with, [p, k]; None for nothing."""

    @abstractmethod
    def _features(self, products: Float32Array) -> Float32Array:
        """Features from the products, [p] → [f] or [n, p] → [n, f]; these may be overwritten.

        From the standardised request itself where there are no rows.
        """

    def _log_odds_of(self, points: Float32Array) -> Float32Array:
        """Log-odds of standardised requests, [k] → [a] or [n, k] → [n, a]."""
        products = points if self._rows is None else points.dot(self._rows.T)
        odds: Float32Array = self._features(products).dot(self._heads.T)
        odds += self._offset
        return odds

    def _log_odds_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        odds = self._log_odds_of(self._inputs.transform(embeddings, lexical))
        return np.asarray(odds, dtype=np.float64)

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        return probabilities(self._log_odds_batch(embeddings, lexical))

    def _predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        return probabilities(self._log_odds_of(self._inputs.transform(embedding, lexical)))


@dataclass(frozen=True, slots=True, eq=False)
class JoinedHeads:
    """Several predictors and their pool as one: the request is read once, and met by one product.

    Attributes:
        inputs: of every member.
        members: those that make features, and which products each makes them from.
        rows: of these members, one below the other, and then of those that are linear in the
            request, times their weights: float32 [Σp, k] or [Σp + a, k].
        heads: on the features, side by side, times their weights, float32 [a, Σf].
        offset: float32 [a].
    """

    inputs: RequestInputs
    members: tuple[tuple[LogOddsHeads, slice], ...]
    rows: Float32Array
    heads: Float32Array
    offset: Float32Array

    @classmethod
    def of(cls, members: Sequence[QualityPredictor], weights: Floats, shift: Floats) -> Self | None:
        """Join predictors, or None where they are not all of this kind and of the same inputs.

        Args:
            members: fitted, of the same agents.
            weights: of their log-odds, [m].
            shift: added to the weighted sum, [a].
        """
        alike = [member for member in members if isinstance(member, LogOddsHeads)]
        if len(alike) < len(members) or any(m._inputs != alike[0]._inputs for m in alike):
            return None
        weighted = list(zip(alike, weights.astype(np.float32), strict=True))
        rows, heads, spans, end = [], [np.zeros((len(shift), 0), np.float32)], [], 0
        for member, weight in weighted:
            if (own := member._rows) is not None:
                spans.append((member, slice(end, end + len(own))))
                rows.append(own)
                heads.append(weight * member._heads)
                end += len(own)
        linear = [weight * member._heads for member, weight in weighted if member._rows is None]
        if linear:
            rows.append(np.sum(linear, axis=0))
        offset = sum((weight * member._offset for member, weight in weighted), shift)
        return cls(
            alike[0]._inputs,
            tuple(spans),
            np.ascontiguousarray(np.concatenate(rows), dtype=np.float32),
            np.ascontiguousarray(np.concatenate(heads, axis=1), dtype=np.float32),
            np.asarray(offset, dtype=np.float32),
        )

    def predict(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        """Expected quality of each agent, of one request [a] or of several [n, a]."""
        return probabilities(self.log_odds(embeddings, lexical))

    def log_odds(self, embeddings: Float32Array, lexical: Float32Array) -> Float32Array:
        """Log-odds of each agent, not clipped, of one request [a] or of several [n, a]."""
        products = self.inputs.transform(embeddings, lexical).dot(self.rows.T)
        features = [products[..., :0]]
        end = 0
        for member, span in self.members:
            features.append(member._features(products[..., span]))
            end = span.stop
        odds: Float32Array = np.concatenate(features, axis=-1).dot(self.heads.T)
        if end < len(self.rows):
            odds += products[..., end:]
        odds += self.offset
        return odds
