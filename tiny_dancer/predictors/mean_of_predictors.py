"""The mean of several predictors, weighted by how well each predicts unseen rows.

No single predictor is best on every kind of data, and their mean is near the best everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.cross_validation import StageProgress, cross_entropy, out_of_fold
from tiny_dancer.predictors.mixture_weights import mixture_weights, without_trifles
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.platt_scaling import PlattScaling
from tiny_dancer.predictors.predictor import Description, QualityPredictor, Tensors
from tiny_dancer.training.progress import Progress
from tiny_dancer.weights import DamagedWeightsError, Float32Array


class MeanOfPredictors(QualityPredictor):
    """Members fitted apart; weights and Platt scaling from out-of-fold predictions.

    Args:
        members: unfitted predictors; fitting leaves them as they are.
        folds: parts that are held back in turn to judge the members.
        least_weight: members below it are dropped, for they cost time in every decision.
        seed: of the folds.

    Attributes:
        members_: those kept, fitted on all rows.
        weights_: theirs, [m].
        losses_: cross-validated cross-entropy of every member by its kind, of the agents'
            "means", and of this "mean" (its weights chosen without the part judged).
    """

    kind = "mean"

    def __init__(
        self,
        members: Sequence[QualityPredictor],
        *,
        folds: int = 4,
        least_weight: float = 0.05,
        seed: int = 0,
    ) -> None:
        if folds < 2:
            raise InvalidArgumentError(f"folds must be at least 2, not {folds}")
        self.members = tuple(members)
        self.folds = folds
        self.least_weight = least_weight
        self.seed = seed

    def _learn(self, observations: Observations, progress: Progress) -> None:
        if not self.members:
            raise InvalidArgumentError("there is no predictor to take the mean of")
        parts = observations.folds(self.folds, self.seed)
        weights: Floats = np.full(len(self.members), 1.0 / len(self.members))
        self.losses_: dict[str, float] = {}
        self._scaling = PlattScaling(1.0, np.zeros(observations.agents))
        stages = len(self.members) * (self.folds + 1)
        if len(parts) >= 2:
            judged = np.stack(
                [
                    out_of_fold(
                        member,
                        observations,
                        parts,
                        _Span(progress, number * self.folds, self.folds, stages),
                    )
                    for number, member in enumerate(self.members)
                ]
            )
            weights = self._weigh(judged, observations, parts)
        kept, self.weights_ = without_trifles(weights, self.least_weight)
        self.members_ = [
            deepcopy(self.members[k]).learn(
                observations,
                StageProgress(progress, len(self.members) * self.folds + i, stages),
            )
            for i, k in enumerate(kept)
        ]
        progress(1000, 1000, self.losses_.get("mean", float("nan")))

    def _weigh(self, judged: Floats, observations: Observations, parts: list[Any]) -> Floats:
        """Weights and scaling from out-of-fold predictions [m, n, a]; notes the losses."""
        targets, mask = observations.targets, observations.mask
        for member, predictions in zip(self.members, judged, strict=True):
            self.losses_[member.kind] = cross_entropy(predictions, targets, mask)
        honest, means = np.empty(targets.shape), np.empty(targets.shape)
        for part in parts:
            rest = np.ones(len(observations), dtype=bool)
            rest[part] = False
            chosen = mixture_weights(judged[:, rest], targets[rest], mask[rest])
            honest[part] = np.tensordot(chosen, judged[:, part], axes=1)
            means[part] = observations.rows(np.flatnonzero(rest)).means()
        self.losses_["means"] = cross_entropy(means, targets, mask)
        self.losses_[self.kind] = cross_entropy(honest, targets, mask)
        weights = mixture_weights(judged, targets, mask)
        kept, shares = without_trifles(weights, self.least_weight)
        mixed = np.tensordot(shares, judged[kept], axes=1)
        self._scaling = PlattScaling.fit(mixed, targets, mask)
        return weights

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        mixed: Floats = np.zeros((len(embeddings), self.agents_))
        for weight, member in zip(self.weights_, self.members_, strict=True):
            mixed += weight * member._predict_batch(embeddings, lexical)
        return self._scaling.transform(mixed)

    def _predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        mixed: Floats = np.zeros(self.agents_)
        for weight, member in zip(self.weights_, self.members_, strict=True):
            mixed += weight * member._predict(embedding, lexical)
        return self._scaling.transform_one(mixed)

    def _state(self) -> tuple[Tensors, Description]:
        tensors: Tensors = {
            "mixture": self.weights_.astype(np.float32),
            "shift": self._scaling.shift.astype(np.float32),
        }
        descriptions = []
        for number, member in enumerate(self.members_):
            own, description = member.to_state()
            tensors |= {f"{number}.{name}": tensor for name, tensor in own.items()}
            descriptions.append(description)
        return tensors, {
            "members": descriptions,
            "slope": self._scaling.slope,
            "losses": self.losses_,
        }

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls(())
        self.members_ = []
        for number, member in enumerate(description["members"]):
            prefix = f"{number}."
            own = {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
            self.members_.append(QualityPredictor.from_state(own, member, where=f"member {number}"))
        self.members = tuple(self.members_)
        self.weights_ = tensors["mixture"].astype(np.float64)
        if len(self.weights_) != len(self.members_):
            raise DamagedWeightsError("mixture is damaged: a weight too many or too few")
        self._scaling = PlattScaling(
            float(description["slope"]), tensors["shift"].astype(np.float64)
        )
        self.agents_ = len(tensors["shift"])
        self.losses_ = {str(k): float(v) for k, v in description["losses"].items()}
        return self


class _Span:
    """Several stages of a whole, reported as one."""

    def __init__(self, progress: Progress, first: int, stages: int, of: int) -> None:
        self._progress = progress
        self._first = first
        self._stages = stages
        self._of = of

    def __call__(self, done: int, of: int, loss: float) -> None:
        share = (self._first + self._stages * done / max(of, 1)) / self._of
        self._progress(round(1000 * share), 1000, loss)
