"""What a router model is worth: measured on requests that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.evaluation.accuracy import chosen_quality, oracle_quality
from tiny_dancer.evaluation.calibration import calibration
from tiny_dancer.evaluation.performance_gap import apgr, is_gap
from tiny_dancer.predictors.cross_validation import cross_entropy, row_entropies
from tiny_dancer.predictors.observations import Floats, Observations

Metrics = dict[str, float]

# log(1 + characters) is the first of the lexical features.
LENGTH = 0


class Comparison(NamedTuple):
    """Two models, as they were judged, on requests that neither had seen then.

    Attributes:
        requests: how many.
        loss: mean cross-entropy of the new one.
        other_loss: of the other.
    """

    requests: int
    loss: float
    other_loss: float


def measure(
    predictions: Floats, held_back: Observations, training: Observations, priors: Floats
) -> Metrics:
    """Measure predictions for requests held back.

    Args:
        predictions: [h, a].
        held_back: h requests.
        training: what was trained on.
        priors: registered quality of each agent, NaN where unknown, [a].

    Returns:
        ``loss`` (mean cross-entropy), ``means_loss`` (of each agent's mean over the training
        rows), ``prior_loss`` (of the registered qualities, where all are known), ``brier``,
        ``calibration_error`` with what chance alone would show in ``calibration_chance``. Where
        some requests were tried with every agent: the mean quality of the agents chosen on them
        by the predictions (``routed_quality``), by the mean (``best_single_quality``), by prompt
        length (``length_quality``), at random and by an oracle. Of two agents: ``apgr``,
        and ``length_apgr`` by prompt length. Only finite numbers.
    """
    if not len(held_back):
        return {}
    targets, mask = held_back.targets, held_back.mask
    means = np.broadcast_to(training.means(), targets.shape)
    seen = calibration(predictions[mask], targets[mask])
    metrics = {
        "loss": cross_entropy(predictions, targets, mask),
        "means_loss": cross_entropy(means, targets, mask),
        "brier": seen.brier,
        "calibration_error": seen.error,
        "calibration_chance": seen.chance,
    }
    if not np.isnan(priors).any():
        registered = np.broadcast_to(priors, targets.shape)
        metrics["prior_loss"] = cross_entropy(registered, targets, mask)
    complete = mask.all(axis=1)
    if complete.any() and targets.shape[1] > 1:
        by_length = _by_length(held_back, training)
        metrics |= _chosen(
            predictions[complete], means[complete], by_length[complete], targets[complete]
        )
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _chosen(predictions: Floats, means: Floats, by_length: Floats, targets: Floats) -> Metrics:
    metrics = {
        "routed_quality": float(chosen_quality(predictions, targets).mean()),
        "best_single_quality": float(chosen_quality(means, targets).mean()),
        "length_quality": float(chosen_quality(by_length, targets).mean()),
        "random_quality": float(targets.mean()),
        "oracle_quality": float(oracle_quality(targets).mean()),
    }
    if targets.shape[1] == 2:
        weak, strong = np.argsort(means[0], kind="stable").tolist()
        gap = (targets[:, weak], targets[:, strong])
        if is_gap(*gap):
            metrics["apgr"] = apgr(predictions[:, strong] - predictions[:, weak], *gap)
            metrics["length_apgr"] = apgr(by_length[:, strong] - by_length[:, weak], *gap)
    return metrics


def _by_length(held_back: Observations, training: Observations) -> Floats:
    """Predict by a line in the length of the request for each agent, [h, a]."""
    if not training.lexical.shape[1]:
        return np.broadcast_to(training.means(), held_back.targets.shape)
    lengths = training.lexical[:, LENGTH].astype(np.float64)
    asked = held_back.lexical[:, LENGTH].astype(np.float64)
    predictions = np.empty(held_back.targets.shape)
    for agent in range(training.agents):
        rows = training.mask[:, agent]
        design = np.column_stack((np.ones(rows.sum()), lengths[rows]))
        line, *_ = np.linalg.lstsq(design, training.targets[rows, agent], rcond=None)
        predictions[:, agent] = line[0] + line[1] * asked
    return predictions


def compare(
    predictions: Floats, other: Floats, targets: Floats, mask: NDArray[np.bool_]
) -> Comparison | None:
    """Compare two models on the same outcomes, None where there are none.

    Args:
        predictions: of the new model for requests and agents that both know, [h, a].
        other: of the other model, [h, a].
        targets: [h, a].
        mask: which were observed, [h, a].
    """
    if not mask.any():
        return None
    return Comparison(
        int(mask.any(axis=1).sum()),
        float(row_entropies(predictions, targets)[mask].mean()),
        float(row_entropies(other, targets)[mask].mean()),
    )


def rounded(metrics: Mapping[str, float]) -> Metrics:
    """Leave out digits that mean nothing."""
    return {name: float(f"{value:.6g}") for name, value in metrics.items()}
