"""Picks the predictor with the least cross-validated loss, and says by how much it won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.agent_means import AgentMeans
from tiny_dancer.predictors.cross_validation import StageProgress, out_of_fold, row_entropies
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, QualityPredictor, Tensors
from tiny_dancer.training.progress import Progress, no_progress
from tiny_dancer.weights import Float32Array


@dataclass(frozen=True, slots=True)
class Choice:
    """What was picked.

    Attributes:
        kind: of the predictor picked.
        loss: its cross-validated cross-entropy.
        losses: of every candidate, by kind.
        runner_up: the kind with the next loss; None without one.
        lead: by how much the loss of the runner-up is larger.
        lead_error: standard error of that difference over the requests; a lead of less than
            two of them may be chance.
    """

    kind: str
    loss: float
    losses: dict[str, float]
    runner_up: str | None
    lead: float
    lead_error: float

    def sentence(self) -> str:
        """Say it in words."""
        if self.runner_up is None:
            return f"picked {self.kind}, the only candidate"
        return (
            f"picked {self.kind}: cross-validated loss {self.loss:.4f}, "
            f"{self.lead:.4f} ± {self.lead_error:.4f} below {self.runner_up}"
        )


class AutomaticPredictor(QualityPredictor):
    """Whichever candidate predicts unseen rows best.

    Args:
        candidates: unfitted predictors of different kinds, the preferred first. The agents'
            means are always one more: where nothing can be learned from requests, they win.
        folds: parts held back in turn.
        seed: of the folds.

    Attributes:
        choice_: see ``Choice``; None where there were too few rows to choose by.
        predictor_: the one picked, fitted on all rows.
    """

    kind = "auto"

    def __init__(
        self, candidates: Sequence[QualityPredictor], *, folds: int = 4, seed: int = 0
    ) -> None:
        if folds < 2:
            raise InvalidArgumentError(f"folds must be at least 2, not {folds}")
        kinds = [candidate.kind for candidate in candidates]
        if len(set(kinds)) < len(kinds):
            raise InvalidArgumentError(f"candidates must differ in kind: {', '.join(kinds)}")
        self.candidates = tuple(candidates)
        self.folds = folds
        self.seed = seed

    def _learn(self, observations: Observations, progress: Progress) -> None:
        candidates: list[QualityPredictor] = [*self.candidates, AgentMeans()]
        parts = observations.folds(self.folds, self.seed)
        stages = len(candidates) + 1
        self.choice_: Choice | None = None
        picked: QualityPredictor = AgentMeans()
        if len(parts) >= 2:
            judged = [
                out_of_fold(candidate, observations, parts, StageProgress(progress, number, stages))
                for number, candidate in enumerate(candidates)
            ]
            self.choice_ = _choose([c.kind for c in candidates], judged, observations)
            picked = next(c for c in candidates if c.kind == self.choice_.kind)
        self.predictor_ = deepcopy(picked).learn(
            observations, StageProgress(progress, stages - 1, stages)
        )
        progress(1000, 1000, self.choice_.loss if self.choice_ else float("nan"))

    def refitted(self, observations: Observations, progress: Progress = no_progress) -> Self:
        """Return what was picked, learned from other rows."""
        again = copy(self)
        again.predictor_ = self.predictor_.refitted(observations, progress)
        return again

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        return self.predictor_._predict_batch(embeddings, lexical)

    def _predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        return self.predictor_._predict(embedding, lexical)

    def _state(self) -> tuple[Tensors, Description]:
        tensors, description = self.predictor_.to_state()
        choice = None if self.choice_ is None else asdict(self.choice_)
        return tensors, {"picked": description, "choice": choice}

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls(())
        self.predictor_ = QualityPredictor.from_state(
            tensors, description["picked"], where="picked predictor"
        )
        choice = description["choice"]
        self.choice_ = None if choice is None else Choice(**choice)
        return self


def _choose(kinds: list[str], judged: list[Floats], observations: Observations) -> Choice:
    mask = observations.mask
    # By request: the outcomes of several agents on one request are not independent.
    by_row = [
        np.where(mask, row_entropies(p, observations.targets), 0.0).sum(axis=1) for p in judged
    ]
    losses = [float(rows.sum() / mask.sum()) for rows in by_row]
    order = sorted(range(len(kinds)), key=lambda number: losses[number])
    best = order[0]
    named = dict(zip(kinds, losses, strict=True))
    if len(order) == 1:
        return Choice(kinds[best], losses[best], named, None, 0.0, 0.0)
    second = order[1]
    difference = (by_row[second] - by_row[best]) * len(mask) / mask.sum()
    error = float(difference.std() / np.sqrt(len(difference)))
    lead = losses[second] - losses[best]
    return Choice(kinds[best], losses[best], named, kinds[second], lead, error)
