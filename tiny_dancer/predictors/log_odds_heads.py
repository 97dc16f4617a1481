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

    The inputs are standardised alike in every such predictor; what scale it wants is folded
    into its weights. So several of them read a request once (``JoinedHeads``).
    """

    _inputs: RequestInputs
    _heads: Float32Array
    _offset: Float32Array

    @abstractmethod
    def _features(self, points: Float32Array) -> Float32Array:
        """Features of standardised requests, [k] → [f] or [n, k] → [n, f]."""

    def _log_odds_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        features = self._features(self._inputs.transform(embeddings, lexical))
        return np.asarray(features @ self._heads.T + self._offset, dtype=np.float64)

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        return probabilities(self._log_odds_batch(embeddings, lexical))

    def _predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        odds = self._heads.dot(self._features(self._inputs.transform(embedding, lexical)))
        odds += self._offset
        return probabilities(odds)


@dataclass(frozen=True, slots=True, eq=False)
class JoinedHeads:
    """Several predictors and their pool as one: the request is read once, and met by one product.

    Attributes:
        members: what computes the features.
        inputs: of every member.
        heads: of all members side by side, times their weights, float32 [a, Σf].
        offset: float32 [a].
    """

    members: tuple[LogOddsHeads, ...]
    inputs: RequestInputs
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
        alike = tuple(member for member in members if isinstance(member, LogOddsHeads))
        if len(alike) < len(members) or any(m._inputs != alike[0]._inputs for m in alike):
            return None
        pairs = list(zip(weights.astype(np.float32), alike, strict=True))
        heads = np.concatenate([weight * member._heads for weight, member in pairs], axis=1)
        offset = sum((weight * member._offset for weight, member in pairs), shift)
        return cls(
            alike,
            alike[0]._inputs,
            np.ascontiguousarray(heads, dtype=np.float32),
            np.asarray(offset, dtype=np.float32),
        )

    def predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        """Expected quality of each agent on one request, [a]."""
        return probabilities(self.log_odds(embedding, lexical))

    def log_odds(self, embedding: Float32Array, lexical: Float32Array) -> Float32Array:
        """Log-odds of each agent on one request, not clipped, [a]."""
        point = self.inputs.transform(embedding, lexical)
        features = np.concatenate([member._features(point) for member in self.members])
        odds: Float32Array = self.heads.dot(features)
        odds += self.offset
        return odds
