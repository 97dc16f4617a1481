"""A trained router model: a predictor, whose quality it predicts, and what that rests on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tiny_dancer import lexical_features
from tiny_dancer.learning.outcome_table import OutcomeTable
from tiny_dancer.predictors.default_predictor import predictor_by_name  # noqa: F401  (the kinds)
from tiny_dancer.predictors.observations import Floats
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.weights import DamagedWeightsError, Float32Array

_NO_WORDS = np.zeros(0, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class RouterModel:
    """What was learned about a agents.

    Attributes:
        predictor: fitted.
        agent_ids: in the order of its heads, [a].
        requests: different requests that each agent was trained on, [a].
        outcomes: outcomes of each agent that it was trained on, [a].
        means: mean quality of each agent over its requests, [a].
        model_id: the embedding model whose vectors it was trained on.
        last_usage_id: newest recorded outcome at the time, 0 where that does not matter.
        id: in the database, 0 for one that is not stored.
    """

    predictor: QualityPredictor
    agent_ids: tuple[int, ...]
    requests: Floats
    outcomes: Floats
    means: Floats
    model_id: int
    last_usage_id: int = 0
    id: int = 0

    @classmethod
    def trained_on(
        cls, predictor: QualityPredictor, table: OutcomeTable, *, model_id: int, last_usage_id: int
    ) -> Self:
        """Describe a predictor that was fitted on a table of outcomes.

        Args:
            predictor: fitted.
            table: of outcomes.
            model_id: the embedding model.
            last_usage_id: see above.
        """
        counts = table.observations.counts()
        return cls(
            predictor,
            table.agent_ids,
            counts,
            table.outcomes.sum(axis=0).astype(np.float64),
            table.observations.targets.sum(axis=0) / np.maximum(counts, 1.0),
            model_id,
            last_usage_id,
        )

    @classmethod
    def from_row(cls, row: Mapping[str, Any], *, dimension: int) -> Self:
        """Read a row of the database.

        Args:
            row: id, model_id, agent_ids, agent_requests, agent_outcomes, agent_means,
                last_usage_id, weights and checksum.
            dimension: of the embedding model's vectors.

        Raises:
            DamagedWeightsError: something in the row was changed, or does not fit; the message
                names the row.
        """
        where = f"router model {row['id']}"
        columns = [row["agent_requests"], row["agent_outcomes"], row["agent_means"]]
        try:
            found = checksum(
                row["weights"], row["model_id"], row["last_usage_id"], row["agent_ids"], columns
            )
        except TypeError as error:
            raise DamagedWeightsError(
                f"{where} is damaged: what it says of its agents holds something else than numbers",
                hint="Activate another one of ruvector_router_models(), or train again.",
            ) from error
        if found != row["checksum"]:
            raise DamagedWeightsError(
                f"{where} is damaged: its checksum differs from what it holds",
                detail=f"It should be {row['checksum']} and is {found}.",
                hint="Activate another one of ruvector_router_models(), or train again.",
            )
        predictor = QualityPredictor.from_blob(row["weights"], where=where)
        lengths = {len(row["agent_ids"]), predictor.agents_, *map(len, columns)}
        if len(lengths) > 1 or predictor.embedding_dim_ != dimension:
            raise DamagedWeightsError(
                f"{where} is damaged: its weights are of another shape",
                detail=f"They predict for {predictor.agents_} agents from embeddings of "
                f"{predictor.embedding_dim_} dimensions; the row names {len(row['agent_ids'])} "
                f"agents, and the embedding model has {dimension} dimensions.",
                hint="Activate another one of ruvector_router_models(), or train again.",
            )
        if predictor.lexical_dim_ not in (0, *lexical_features.RECORDED_COUNTS):
            raise DamagedWeightsError(
                f"{where} was trained on {predictor.lexical_dim_} lexical features",
                detail=f"This version of the library reads {lexical_features.COUNT}.",
                hint="Train again with ruvector_train_router().",
            )
        requests, outcomes, means = (np.array(column, dtype=np.float64) for column in columns)
        return cls(
            predictor,
            tuple(row["agent_ids"]),
            requests,
            outcomes,
            means,
            row["model_id"],
            row["last_usage_id"],
            row["id"],
        )

    def columns(self) -> dict[str, Any]:
        """Return the columns of the row, but for its id, as builtins."""
        blob = self.predictor.to_blob()
        lists = [values.tolist() for values in (self.requests, self.outcomes, self.means)]
        return {
            "model_id": self.model_id,
            "agent_ids": list(self.agent_ids),
            "agent_requests": lists[0],
            "agent_outcomes": lists[1],
            "agent_means": lists[2],
            "last_usage_id": self.last_usage_id,
            "weights": blob,
            "checksum": checksum(blob, self.model_id, self.last_usage_id, self.agent_ids, lists),
        }

    @property
    def goes_by_wording(self) -> bool:
        """Whether a prediction needs lexical features."""
        return self.predictor.lexical_dim_ > 0

    def wording(self, text: str) -> Float32Array | None:
        """Return the lexical features of a request, None where a prediction needs none."""
        return lexical_features.lexical_features(text) if self.goes_by_wording else None

    def predict(self, embedding: Float32Array, lexical: Float32Array | None) -> Floats:
        """Predict for one request, [d] and [COUNT] → [a]. In every decision, so nothing is checked.

        Args:
            embedding: unit vector of the embedding model, float32 [d].
            lexical: its lexical features, float32 [COUNT]; None for a model that does not go by
                the wording.
        """
        return self.predictor.predict_checked(embedding, self._words(lexical))

    def log_odds(
        self, embedding: Float32Array, lexical: Float32Array | None
    ) -> Float32Array | Floats:
        """Return the log-odds of what ``predict`` says, [a]; the array is the caller's."""
        return self.predictor.log_odds_checked(embedding, self._words(lexical))

    def _words(self, lexical: Float32Array | None) -> Float32Array:
        count = self.predictor.lexical_dim_
        if lexical is None or count == 0:
            return _NO_WORDS
        # One of an earlier version goes by the first features alone.
        return lexical if len(lexical) == count else lexical[:count]

    def predict_batch(self, embeddings: Float32Array, lexical: Float32Array | None) -> Floats:
        """Predict for several requests, [n, d] and [n, COUNT] → [n, a]; see ``predict``."""
        return self.predictor.predict_batch(embeddings, self._words_of(embeddings, lexical))

    def log_odds_batch(
        self, embeddings: Float32Array, lexical: Float32Array | None
    ) -> Float32Array | Floats:
        """Return the log-odds of several predictions, [n, a]; the array is the caller's."""
        words = self._words_of(embeddings, lexical)
        return self.predictor.log_odds_checked_batch(embeddings, words)

    def _words_of(self, embeddings: Float32Array, lexical: Float32Array | None) -> Float32Array:
        if lexical is None or not self.goes_by_wording:
            return np.zeros((len(embeddings), 0), dtype=np.float32)
        return lexical[:, : self.predictor.lexical_dim_]


def checksum(
    weights: bytes,
    model_id: int,
    last_usage_id: int,
    agent_ids: Sequence[int],
    columns: Sequence[Sequence[float]],
) -> str:
    """Return the sha256 of weights and of what says whose they are."""
    digest = hashlib.sha256(weights)
    described = [model_id, last_usage_id, list(agent_ids), [list(map(float, c)) for c in columns]]
    digest.update(json.dumps(described).encode())
    return digest.hexdigest()
