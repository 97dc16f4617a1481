"""The interface of every predictor, and how one is kept as bytes."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tiny_dancer import weights
from tiny_dancer.errors import InvalidArgumentError, NotReadyError
from tiny_dancer.predictors.linear_heads import log_odds, within_log_odds
from tiny_dancer.predictors.observations import Observations
from tiny_dancer.training.progress import Progress, no_progress
from tiny_dancer.weights import DamagedWeightsError, Float32Array

Floats = NDArray[np.float64]
Tensors: TypeAlias = dict[str, Float32Array]
Description: TypeAlias = dict[str, Any]


class QualityPredictor(ABC):
    """Expected quality of each agent on a request, learned from outcomes.

    Attributes:
        kind: the name under which ``from_blob`` knows the class.
        embedding_dim_, lexical_dim_, agents_: lengths of what goes in and out, after ``fit``.
    """

    kind: ClassVar[str]
    _kinds: ClassVar[dict[str, type[QualityPredictor]]] = {}

    embedding_dim_: int
    lexical_dim_: int
    agents_: int

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in cls.__dict__:
            QualityPredictor._kinds[cls.kind] = cls

    def fit(
        self,
        embeddings: ArrayLike,
        lexical: ArrayLike,
        targets: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn. The same rows and seed give the same weights, bit for bit.

        Args:
            embeddings: of the requests, [n, d].
            lexical: their raw lexical features, [n, l]; l may be 0.
            targets: quality of each agent on each request in [0, 1], [n, a].
            mask: where an agent was tried, [n, a]; everywhere if None.
            progress: called with (done, of, loss); an exception in it cancels.

        Raises:
            InvalidArgumentError: the rows cannot be learned from; see ``Observations``.
        """
        return self.learn(Observations.checked(embeddings, lexical, targets, mask), progress)

    def learn(self, observations: Observations, progress: Progress = no_progress) -> Self:
        """Learn from rows that were checked already; see ``fit``."""
        self.embedding_dim_ = observations.embeddings.shape[1]
        self.lexical_dim_ = observations.lexical.shape[1]
        self.agents_ = observations.agents
        self._learn(observations, progress)
        return self

    def refitted(self, observations: Observations, progress: Progress = no_progress) -> Self:
        """Return such a predictor learned from other rows of the same agents.

        Which predictor was picked and how members are weighed stays; what a predictor chooses for
        itself (a penalty, when to stop) it chooses anew.
        """
        # Learning replaces what was learned and changes none of it.
        return copy.copy(self).learn(observations, progress)

    def predict(self, embedding: ArrayLike, lexical: ArrayLike) -> Floats:
        """Predict for one request.

        Args:
            embedding: [d].
            lexical: raw lexical features, [l].

        Returns:
            Expected quality of each agent in [0, 1], [a].

        Raises:
            InvalidArgumentError: wrong length, or a value that is not finite.
            NotReadyError: not fitted.
        """
        self._require_fitted()
        vector = np.asarray(embedding, dtype=np.float32)
        words = np.asarray(lexical, dtype=np.float32)
        if vector.shape != (self.embedding_dim_,):
            raise InvalidArgumentError(
                f"embedding has shape {vector.shape}, not ({self.embedding_dim_},)"
            )
        if words.shape != (self.lexical_dim_,):
            raise InvalidArgumentError(
                f"lexical has shape {words.shape}, not ({self.lexical_dim_},)"
            )
        # The sum of squares is finite only where every value is.
        if not math.isfinite(vector.dot(vector) + words.dot(words)):
            raise InvalidArgumentError("embedding or lexical holds a value that is not finite")
        return self._predict(vector, words)

    def predict_checked(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        """Predict for a request whose float32 vectors were checked already; see ``predict``."""
        return self._predict(embedding, lexical)

    def log_odds_checked(
        self, embedding: Float32Array, lexical: Float32Array
    ) -> Float32Array | Floats:
        """Return the log-odds of a prediction, a new array [a]; see ``predict_checked``."""
        return log_odds(self._predict(embedding, lexical))

    def log_odds_checked_batch(
        self, embeddings: Float32Array, lexical: Float32Array
    ) -> Float32Array | Floats:
        """Return the log-odds of several predictions, a new array [n, a]."""
        return within_log_odds(self._log_odds_batch(embeddings, lexical))

    def predict_batch(self, embeddings: ArrayLike, lexical: ArrayLike) -> Floats:
        """Predict for several requests, [n, d] and [n, l] → [n, a]; see ``predict``."""
        self._require_fitted()
        vectors = np.asarray(embeddings, dtype=np.float32)
        words = np.asarray(lexical, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.embedding_dim_:
            raise InvalidArgumentError(
                f"embeddings has shape {vectors.shape}, not [n, {self.embedding_dim_}]"
            )
        if words.shape != (len(vectors), self.lexical_dim_):
            raise InvalidArgumentError(
                f"lexical has shape {words.shape}, not ({len(vectors)}, {self.lexical_dim_})"
            )
        if not (np.isfinite(vectors).all() and np.isfinite(words).all()):
            raise InvalidArgumentError("embeddings or lexical holds a value that is not finite")
        return self._predict_batch(vectors, words)

    def to_blob(self) -> bytes:
        """Return everything learned as one safetensors file.

        Raises:
            NotReadyError: not fitted.
        """
        return weights.to_blob(*self.to_state())

    @staticmethod
    def from_blob(blob: bytes, *, where: str = "predictor") -> QualityPredictor:
        """Read back what ``to_blob`` of any predictor returned.

        Args:
            blob: the bytes.
            where: what is being loaded ("router model 7"), named in errors.

        Raises:
            DamagedWeightsError: the bytes were changed, or are no predictor.
        """
        return QualityPredictor.from_state(*weights.from_blob(blob, where=where), where=where)

    def to_state(self) -> tuple[Tensors, Description]:
        """Return the tensors, and the rest as JSON can hold it.

        Raises:
            NotReadyError: not fitted.
        """
        self._require_fitted()
        tensors, description = self._state()
        sizes = [self.embedding_dim_, self.lexical_dim_, self.agents_]
        return tensors, {**description, "kind": self.kind, "sizes": sizes}

    @staticmethod
    def from_state(
        tensors: Mapping[str, Float32Array], description: Mapping[str, Any], *, where: str
    ) -> QualityPredictor:
        """Put together what ``to_state`` returned.

        Raises:
            DamagedWeightsError: they do not fit each other.
        """
        try:
            kind = QualityPredictor._kinds[description["kind"]]
            sizes = [int(size) for size in description["sizes"]]
            predictor = kind._from_state(tensors, description)
            predictor.embedding_dim_, predictor.lexical_dim_, predictor.agents_ = sizes
            found = predictor._predict_batch(
                np.zeros((1, sizes[0]), np.float32), np.zeros((1, sizes[1]), np.float32)
            ).shape
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedWeightsError(f"{where} is damaged: {error!r}") from error
        if found != (1, predictor.agents_):
            raise DamagedWeightsError(f"{where} is damaged: it predicts for {found[1]} agents")
        return predictor

    def _require_fitted(self) -> None:
        if not hasattr(self, "agents_"):
            raise NotReadyError(
                f"this {type(self).__name__} was not fitted", hint="Call fit first."
            )

    @abstractmethod
    def _learn(self, observations: Observations, progress: Progress) -> None:
        """Set the learned attributes."""

    @abstractmethod
    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        """Predict for checked rows."""

    def _predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        """Predict for one checked request; overridden where that is worth its while."""
        row: Floats = self._predict_batch(embedding[None], lexical[None])[0]
        return row

    def _log_odds_batch(
        self, embeddings: Float32Array, lexical: Float32Array
    ) -> Float32Array | Floats:
        """Log-odds of ``_predict_batch``; overridden where they are known before the quality."""
        return log_odds(self._predict_batch(embeddings, lexical))

    @abstractmethod
    def _state(self) -> tuple[Tensors, Description]:
        """The tensors and the description of what was learned."""

    @classmethod
    @abstractmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        """Build from what ``_state`` returned."""
