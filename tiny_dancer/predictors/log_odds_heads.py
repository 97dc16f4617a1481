"""Predictors whose log-odds are linear in features of the request: a head per agent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from tiny_dancer.predictors.linear_heads import probabilities, within_log_odds
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.predictors.request_inputs import RequestInputs
from tiny_dancer.training.progress import Progress, no_progress
from tiny_dancer.weights import Float32Array

# Puts the features made of sums, both arrays known beforehand, into their place.
MakeFeatures = Callable[[], object]


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
    # Itself, joined: made where its own log-odds are asked for.
    _alone: JoinedHeads | None = None

    @property
    @abstractmethod
    def _rows(self) -> tuple[Float32Array, Float32Array] | None:
        """What standardised requests are multiplied with, [p, k], and what is added then, [p].

        None where the heads are on the request itself.
        """

    @abstractmethod
    def _maker(self, sums: Float32Array, out: Float32Array) -> MakeFeatures:
        """What puts the features of sums, [p] or [n, p], into ``out``; may overwrite both."""

    def _on_features(self) -> Float32Array:
        """The heads as they are on the features, [a, f]."""
        return self._heads

    def learn(self, observations: Observations, progress: Progress = no_progress) -> Self:
        """Learn from rows that were checked already; see ``fit``."""
        self._alone = None
        return super().learn(observations, progress)

    def _log_odds_of(self, points: Float32Array) -> Float32Array:
        """Log-odds of standardised requests, [k] → [a] or [n, k] → [n, a]."""
        features, heads = points, self._on_features()
        if self._rows is not None:
            rows, shift = self._rows
            features = np.empty((*points.shape[:-1], heads.shape[1]), dtype=np.float32)
            self._maker(points.dot(rows.T) + shift, features)()
        odds: Float32Array = features.dot(heads.T)
        odds += self._offset
        return odds

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        return probabilities(self._log_odds_of(self._inputs.transform(embeddings, lexical)))

    def _joined(self) -> JoinedHeads:
        if self._alone is None:
            joined = JoinedHeads.of([self], np.ones(1), np.zeros(len(self._offset)))
            assert joined is not None
            self._alone = joined
        return self._alone

    def _log_odds_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Float32Array:
        return self._joined().log_odds(embeddings, lexical)

    def log_odds_checked(
        self, embedding: Float32Array, lexical: Float32Array
    ) -> Float32Array | Floats:
        """Return the log-odds of a prediction, a new array [a]; see ``predict_checked``."""
        return within_log_odds(self._joined().log_odds(embedding, lexical))

    def _predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        return probabilities(self._joined().log_odds(embedding, lexical))


class Member(NamedTuple):
    """A predictor that makes features.

    Attributes:
        heads: the predictor.
        sums: which of the sums it makes them from.
        features: where they stand among all features.
    """

    heads: LogOddsHeads
    sums: slice
    features: slice


class Desk(NamedTuple):
    """Arrays that single requests are worked on in, made once.

    Attributes:
        known: of the request, [k].
        points: these and a 1, [k + 1].
        sums: products of rows and points, [Σp].
        make_features: of the members.
        met: the features and the points, [Σf + k + 1].
    """

    known: Float32Array
    points: Float32Array
    sums: Float32Array
    make_features: tuple[MakeFeatures, ...]
    met: Float32Array


class FreeDesks(list[Desk]):
    """Those that nobody is at; a copy of whoever owns them starts without any.

    The parts of a desk share memory, and would not any more once they were copied one by one.
    """

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        """Copy and pickle as an empty list."""
        return type(self), ()


@dataclass(frozen=True, slots=True, eq=False)
class JoinedHeads:
    """Several predictors and their pool as one: the request is read once, and met by one product.

    Attributes:
        least, greatest: how far a column of a request counts, float32 [k].
        members: those that make features.
        rows: of these members, one below the other, float32 [Σp, k + 1]. How requests are
            standardised is folded into them, and what is added to the products.
        heads: on the features, side by side, and then on the request, times the weights of the
            predictors, float32 [a, Σf + k + 1]; those of predictors that are linear in it, and
            what is added in the end.
    """

    least: Float32Array
    greatest: Float32Array
    members: tuple[Member, ...]
    rows: Float32Array
    heads: Float32Array
    _free_desks: FreeDesks = field(default_factory=FreeDesks, repr=False)

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
        inputs = alike[0]._inputs
        weighted = list(zip(alike, weights.astype(np.float32), strict=True))
        offset = np.asarray(
            sum((weight * member._offset for member, weight in weighted), shift), dtype=np.float32
        )
        linear = np.zeros((len(offset), inputs.length), np.float32)
        places: list[Member] = []
        rows, shifts = [np.zeros((0, inputs.length), np.float32)], [np.zeros(0, np.float32)]
        heads, sums_end, features_end = [], 0, 0
        for member, weight in weighted:
            own = member._on_features()
            if member._rows is None:
                linear += weight * own
                continue
            rows.append(member._rows[0])
            shifts.append(member._rows[1])
            heads.append(weight * own)
            sums = slice(sums_end, sums_end := sums_end + len(shifts[-1]))
            features = slice(features_end, features_end := features_end + own.shape[1])
            places.append(Member(member, sums, features))
        return cls(
            *inputs.bounds(),
            tuple(places),
            inputs.folded(np.concatenate(rows), np.concatenate(shifts)),
            np.ascontiguousarray(np.concatenate([*heads, inputs.folded(linear, offset)], axis=1)),
        )

    def predict(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        """Expected quality of each agent on one request, [a], or on several, [n, a]."""
        return probabilities(self.log_odds(embeddings, lexical))

    def log_odds(self, embeddings: Float32Array, lexical: Float32Array) -> Float32Array:
        """Log-odds of each agent, not bounded, on one request, [a], or on several, [n, a]."""
        if embeddings.ndim == 1:
            return self._log_odds_of_one(embeddings, lexical)
        desk = self._desk((len(embeddings),))
        self._meet(desk, embeddings, lexical)
        np.dot(desk.points, self.rows.T, out=desk.sums)
        for make in desk.make_features:
            make()
        odds: Float32Array = desk.met.dot(self.heads.T)
        return odds

    def _log_odds_of_one(self, embedding: Float32Array, lexical: Float32Array) -> Float32Array:
        # In every decision. Arrays and views of them take longer to make than to be worked on; two
        # threads never have the same desk, for one takes it off the list.
        try:
            desk = self._free_desks.pop()
        except IndexError:
            desk = self._desk(())
        self._meet(desk, embedding, lexical)
        self.rows.dot(desk.points, desk.sums)
        for make in desk.make_features:
            make()
        odds: Float32Array = self.heads.dot(desk.met)
        self._free_desks.append(desk)
        return odds

    def _meet(self, desk: Desk, embeddings: Float32Array, lexical: Float32Array) -> None:
        known, dimension = desk.known, embeddings.shape[-1]
        # Two copies, for in a decision a concatenation takes a third longer.
        known[..., :dimension] = embeddings
        known[..., dimension:] = lexical
        np.minimum(known, self.greatest, out=known)
        np.maximum(known, self.least, out=known)

    def _desk(self, requests: tuple[int, ...]) -> Desk:
        """Make arrays for so many requests, () or (n,)."""
        sums = np.empty((*requests, self.rows.shape[0]), np.float32)
        met = np.empty((*requests, self.heads.shape[1]), np.float32)
        points = met[..., -self.rows.shape[1] :]
        points[..., -1] = 1.0
        make_features = tuple(
            member._maker(sums[..., own], met[..., features])
            for member, own, features in self.members
        )
        return Desk(points[..., :-1], points, sums, make_features, met)
