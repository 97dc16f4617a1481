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

_ONE = np.ones(1, dtype=np.float32)


class LogOddsHeads(QualityPredictor):
    """Sets ``_inputs``, ``_heads`` [a, f] and ``_offset`` [a], and computes the features.

    Features are made in two steps, sums of the standardised request over some rows and what is made
    of these, so that several predictors read a request once and meet it by one product
    (``JoinedHeads``). The inputs are standardised alike in every such predictor; what scale it
    wants is folded into its weights.
    """

    _inputs: RequestInputs
    _heads: Float32Array
    _offset: Float32Array

    @property
    @abstractmethod
    def _rows(self) -> tuple[Float32Array, Float32Array] | None:
        """What standardised requests are multiplied with, [p, k], and what is added then, [p].

        None where the heads are on the request itself.
        """

    @abstractmethod
    def _features(self, sums: Float32Array) -> Float32Array:
        """Features from these sums, [p] → [f] or [n, p] → [n, f]; it may overwrite them."""

    def _log_odds_of(self, points: Float32Array) -> Float32Array:
        """Log-odds of standardised requests, [k] → [a] or [n, k] → [n, a]."""
        features = points
        if self._rows is not None:
            rows, shift = self._rows
            features = self._features(points.dot(rows.T) + shift)
        odds: Float32Array = features.dot(self._heads.T)
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
        least, greatest: how far a column of a request counts, float32 [k].
        members: those that make features, and which sums each makes them from.
        rows: of these members, one below the other, and then of those that are linear in the
            request, times their weights: float32 [Σp, k + 1] or [Σp + a, k + 1]. How requests are
            standardised is folded into them, and what is added to the products.
        heads: on the features, side by side, times their weights, float32 [a, Σf].
        offset: float32 [a]; folded into the rows, too, where some are of agents.
    """

    least: Float32Array
    greatest: Float32Array
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
        offset = np.asarray(
            sum((weight * member._offset for member, weight in weighted), shift), dtype=np.float32
        )
        rows, shifts, spans, end = [], [], [], 0
        heads = [np.zeros((len(offset), 0), np.float32)]
        for member, weight in weighted:
            if (own := member._rows) is not None:
                spans.append((member, slice(end, end + len(own[1]))))
                rows.append(own[0])
                shifts.append(own[1])
                heads.append(weight * member._heads)
                end += len(own[1])
        linear = [weight * member._heads for member, weight in weighted if member._rows is None]
        if linear:
            rows.append(np.sum(linear, axis=0))
            shifts.append(offset)
        inputs = alike[0]._inputs
        return cls(
            *inputs.bounds(),
            tuple(spans),
            inputs.folded(np.concatenate(rows), np.concatenate(shifts)),
            np.ascontiguousarray(np.concatenate(heads, axis=1), dtype=np.float32),
            offset,
        )

    def predict(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        """Expected quality of each agent on one request, [a], or on several, [n, a]."""
        return probabilities(self.log_odds(embeddings, lexical))

    def log_odds(self, embeddings: Float32Array, lexical: Float32Array) -> Float32Array:
        """Log-odds of each agent, not clipped, on one request, [a], or on several, [n, a]."""
        one = _ONE if embeddings.ndim == 1 else np.ones((len(embeddings), 1), np.float32)
        points = np.concatenate((embeddings, lexical, one), axis=-1)
        known = points[..., :-1]
        np.minimum(known, self.greatest, out=known)
        np.maximum(known, self.least, out=known)
        sums: Float32Array = points.dot(self.rows.T)
        if not self.members:
            return sums
        features = [member._features(sums[..., span]) for member, span in self.members]
        odds: Float32Array = np.concatenate(features, axis=-1).dot(self.heads.T)
        end = self.members[-1][1].stop
        odds += sums[..., end:] if end < len(self.rows) else self.offset
        return odds
