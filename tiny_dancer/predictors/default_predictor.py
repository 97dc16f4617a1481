"""The predictors by name, and what a user gets without choosing."""

from __future__ import annotations

from collections.abc import Callable

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.agent_means import AgentMeans
from tiny_dancer.predictors.automatic import AutomaticPredictor
from tiny_dancer.predictors.cluster_table import ClusterTable
from tiny_dancer.predictors.fastgrnn_heads import FastGRNNHeads
from tiny_dancer.predictors.kernel_heads import KernelHeads
from tiny_dancer.predictors.logistic_heads import LogisticHeads
from tiny_dancer.predictors.mean_of_predictors import MeanOfPredictors
from tiny_dancer.predictors.mlp_heads import MLPHeads
from tiny_dancer.predictors.nearest_requests import NearestRequests
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.predictors.ridge_heads import RidgeHeads

DEFAULT = "mean"


def default_predictor(seed: int = 0) -> MeanOfPredictors:
    """The mean of FastGRNN, logistic heads and a cluster table.

    The networks generalise, the table remembers what happened on requests nearby; together they
    are the best that was measured within the time of a decision (docs/evaluation.md). A request
    costs a bounded number of float32 products, whatever was recorded; where that were few requests,
    on principal components of its embedding, which then predict as well as all of it.
    """
    return MeanOfPredictors(_quick_members(seed), reduced=True, seed=seed)


def thorough_predictor(seed: int = 0) -> MeanOfPredictors:
    """The default and kernel heads: for whom some microseconds more do not matter."""
    return MeanOfPredictors((*_quick_members(seed), KernelHeads(seed=seed)), seed=seed)


def _quick_members(seed: int) -> tuple[QualityPredictor, ...]:
    return _small_fastgrnn(seed), LogisticHeads(), ClusterTable(seed=seed)


def _small_fastgrnn(seed: int) -> FastGRNNHeads:
    # Tied it predicts about as well, and a decision moves half as many weights through the
    # processor's cache.
    return FastGRNNHeads(hidden_dim=32, seeds=3, tied=True, seed=seed)


def automatic_predictor(seed: int = 0) -> AutomaticPredictor:
    """Picks among the default and single predictors by cross-validated loss."""
    return AutomaticPredictor(
        (
            default_predictor(seed),
            KernelHeads(seed=seed),
            FastGRNNHeads(seed=seed),
            RidgeHeads(),
            ClusterTable(seed=seed),
        ),
        seed=seed,
    )


_BY_NAME: dict[str, Callable[[int], QualityPredictor]] = {
    "auto": automatic_predictor,
    "clusters": lambda seed: ClusterTable(seed=seed),
    "fastgrnn": lambda seed: FastGRNNHeads(seed=seed),
    "kernel": lambda seed: KernelHeads(seed=seed),
    "logistic": lambda seed: LogisticHeads(),
    "mean": default_predictor,
    "means": lambda seed: AgentMeans(),
    "mlp": lambda seed: MLPHeads(seed=seed),
    "nearest": lambda seed: NearestRequests(seed=seed),
    "ridge": lambda seed: RidgeHeads(),
    "thorough": thorough_predictor,
}
NAMES = tuple(_BY_NAME)


def predictor_by_name(name: str = DEFAULT, seed: int = 0) -> QualityPredictor:
    """Make an unfitted predictor.

    Args:
        name: one of ``NAMES``.
        seed: of everything random in it.

    Raises:
        InvalidArgumentError: no predictor has that name.
    """
    if name not in _BY_NAME:
        raise InvalidArgumentError(f"predictor must be one of {', '.join(NAMES)}, not {name!r}")
    return _BY_NAME[name](seed)
