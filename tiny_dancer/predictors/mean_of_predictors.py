"""The mean of several predictors in log-odds, weighted by how well they predict unseen rows.

No single predictor is best on every kind of data, and their mean is near the best everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from typing import Any, Self

import numpy as np

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.cross_validation import StageProgress, cross_entropy, out_of_fold
from tiny_dancer.predictors.linear_heads import within_log_odds
from tiny_dancer.predictors.log_odds_heads import JoinedHeads
from tiny_dancer.predictors.log_odds_pool import LogOddsPool
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, QualityPredictor, Tensors
from tiny_dancer.predictors.principal_components import PrincipalComponents, components_for
from tiny_dancer.training.held_back import all_but
from tiny_dancer.training.loss import RowNumbers
from tiny_dancer.training.progress import Progress, no_progress
from tiny_dancer.weights import DamagedWeightsError, Float32Array


class MeanOfPredictors(QualityPredictor):
    """Members fitted apart; the pool is fitted to their out-of-fold predictions.

    Args:
        members: unfitted predictors; fitting leaves them as they are.
        folds: parts that are held back in turn to judge the members.
        least_weight: members with a smaller share of the weights are dropped, for they cost
            time in every decision.
        reduced: whether members see principal components in the place of embeddings, as many as
            the requests bear (``components_for``).
        seed: of the folds, and of the components.

    Attributes:
        components_: of the embeddings of all rows; None where members see the embeddings.
        members_: those kept, fitted on all rows.
        pool_: their weights, and a shift for each agent.
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
        reduced: bool = False,
        seed: int = 0,
    ) -> None:
        if folds < 2:
            raise InvalidArgumentError(f"folds must be at least 2, not {folds}")
        self.members = tuple(members)
        self.folds = folds
        self.least_weight = least_weight
        self.reduced = reduced
        self.seed = seed

    def _learn(self, observations: Observations, progress: Progress) -> None:
        if not self.members:
            raise InvalidArgumentError("there is no predictor to take the mean of")
        observations = self._reduce(observations, progress)
        parts = observations.folds(self.folds, self.seed)
        stages = len(self.members) * (self.folds + 1)
        self.losses_: dict[str, float] = {}
        kept = list(range(len(self.members)))
        self.pool_ = LogOddsPool.mean(len(kept), observations.agents)
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
            self._note_losses(judged, observations, parts)
            kept = self._fit_pool(judged, observations)
        self.members_ = [
            deepcopy(self.members[k]).learn(
                observations,
                StageProgress(progress, len(self.members) * self.folds + i, stages),
            )
            for i, k in enumerate(kept)
        ]
        self._join()
        progress(1000, 1000, self.losses_.get("mean", float("nan")))

    def refitted(self, observations: Observations, progress: Progress = no_progress) -> Self:
        """Return the same members with the same weights, learned from other rows."""
        again = copy(self)
        seen = again._reduce(observations, progress)
        stages = len(self.members_)
        again.members_ = [
            member.refitted(seen, StageProgress(progress, number, stages))
            for number, member in enumerate(self.members_)
        ]
        again._join()
        progress(1000, 1000, float("nan"))
        return again

    def _reduce(self, observations: Observations, progress: Progress) -> Observations:
        """Find the components, if any, and return what the members see of the rows."""
        self.components_ = None
        count = components_for(len(observations), self.embedding_dim_) if self.reduced else None
        if count is None:
            return observations
        self.components_ = PrincipalComponents.fit(
            observations.embeddings, count, self.seed, progress
        )
        return self.components_.of(observations)

    def _join(self) -> None:
        self._joined = JoinedHeads.of(self.members_, self.pool_.weights, self.pool_.shift)

    def _fit_pool(self, judged: Floats, observations: Observations) -> list[int]:
        """Weigh the members by out-of-fold predictions [m, n, a]; returns those to keep."""
        targets, mask = observations.targets, observations.mask
        pool = LogOddsPool.fit(judged, targets, mask)
        least = self.least_weight * float(pool.weights.sum())
        kept = [number for number, weight in enumerate(pool.weights) if weight >= least]
        if len(kept) < len(judged):
            pool = LogOddsPool.fit(judged[kept], targets, mask)
        self.pool_ = pool
        return kept

    def _note_losses(
        self, judged: Floats, observations: Observations, parts: list[RowNumbers]
    ) -> None:
        targets, mask = observations.targets, observations.mask
        for member, predictions in zip(self.members, judged, strict=True):
            self.losses_[member.kind] = cross_entropy(predictions, targets, mask)
        pooled, means = np.empty(targets.shape), np.empty(targets.shape)
        for part in parts:
            rest = all_but(part, len(observations))
            chosen = LogOddsPool.fit(judged[:, rest], targets[rest], mask[rest])
            pooled[part] = chosen.transform(judged[:, part])
            means[part] = observations.rows(rest).means()
        self.losses_["means"] = cross_entropy(means, targets, mask)
        self.losses_[self.kind] = cross_entropy(pooled, targets, mask)

    def _seen(self, embeddings: Float32Array) -> Float32Array:
        """What the members see of embeddings, [d] or [n, d]."""
        return embeddings if self.components_ is None else self.components_.transform(embeddings)

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        seen = self._seen(embeddings)
        if self._joined is not None:
            return self._joined.predict(seen, lexical)
        odds = [member._log_odds_batch(seen, lexical) for member in self.members_]
        return self.pool_.pooled(np.stack(odds).astype(np.float64))

    def _log_odds_batch(
        self, embeddings: Float32Array, lexical: Float32Array
    ) -> Float32Array | Floats:
        if self._joined is None:
            return super()._log_odds_batch(embeddings, lexical)
        return self._joined.log_odds(self._seen(embeddings), lexical)

    def _predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        if self._joined is None:
            return super()._predict(embedding, lexical)
        return self._joined.predict(self._seen(embedding), lexical)

    def log_odds_checked(
        self, embedding: Float32Array, lexical: Float32Array
    ) -> Float32Array | Floats:
        """Return the log-odds of a prediction, a new array [a]; see ``predict_checked``."""
        if self._joined is None:
            return super().log_odds_checked(embedding, lexical)
        return within_log_odds(self._joined.log_odds(self._seen(embedding), lexical))

    def _state(self) -> tuple[Tensors, Description]:
        tensors: Tensors = {
            "mixture": self.pool_.weights.astype(np.float32),
            "shift": self.pool_.shift.astype(np.float32),
        }
        if self.components_ is not None:
            tensors["components"] = self.components_.directions
        descriptions = []
        for number, member in enumerate(self.members_):
            own, description = member.to_state()
            tensors |= {f"{number}.{name}": tensor for name, tensor in own.items()}
            descriptions.append(description)
        return tensors, {"members": descriptions, "losses": self.losses_}

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls(())
        directions = tensors.get("components")
        self.components_ = None if directions is None else PrincipalComponents(directions)
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
        self.pool_ = LogOddsPool(
            tensors["mixture"].astype(np.float64), tensors["shift"].astype(np.float64)
        )
        if len(self.pool_.weights) != len(self.members_):
            raise DamagedWeightsError("mixture is damaged: a weight too many or too few")
        self.agents_ = len(tensors["shift"])
        self._join()
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
