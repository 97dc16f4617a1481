"""Ridge regression at several penalties at once, and the penalty that predicts best.

One eigendecomposition serves all penalties, and gives the error of every row as if it had been
left out: (y − ŷ) / (1 − h) with h the leverage of the row. Requests that occur twice would be
predicted by their twins, so the penalty is chosen on distinct requests only.

Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2nd ed., 3.4.1, 7.10.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.predictors.observations import Floats, Mask, Observations
from tiny_dancer.weights import Float32Array

PENALTIES: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Tried by default; in numbers of rows, for inputs of about unit length."""


@dataclass(frozen=True, slots=True, eq=False)
class RidgeFit:
    """Linear heads.

    Attributes:
        coefficients: [k, a].
        offset: [a].
        penalty: chosen for what agents have in common.
        contrast_penalty: chosen for how they differ; the same where none share requests.
        error: what a row left out is mispredicted by, as a share of what the means leave:
            the mean of that share for common part and differences.
    """

    coefficients: Floats
    offset: Floats
    penalty: float
    contrast_penalty: float
    error: float


def fit_ridge(
    features: Float32Array, observations: Observations, penalties: tuple[float, ...] = PENALTIES
) -> RidgeFit:
    """Fit one linear head per agent, at the penalties that suit all of them best.

    Args:
        features: of the observed requests, [n, k].
        observations: their targets and mask.
        penalties: to choose from, ascending.
    """
    means = observations.means()
    _, distinct = np.unique(observations.groups(), return_index=True)
    chosen, error = [len(penalties) - 1] * 2, 1.0
    paths: list[_Path] | None = None
    if len(distinct) > 2:
        paths = _paths(features[distinct], observations.rows(distinct), means, penalties)
        errors = np.array([path.errors for path in paths]).sum(axis=0)
        left = np.array([path.spread for path in paths]).sum(axis=0)
        # The largest of equals: errors are equal only where nothing can be learned.
        chosen = [len(penalties) - 1 - int(np.argmin(part[::-1])) for part in errors]
        if left[1] == 0.0:
            chosen[1] = chosen[0]
        best = errors[[0, 1], chosen]
        error = float(np.mean(best[left > 0.0] / left[left > 0.0])) if left.any() else 1.0
    if paths is None or len(distinct) < len(observations):
        paths = _paths(features, observations, means, penalties)
    coefficients = np.zeros((features.shape[1], observations.agents))
    for path in paths:
        coefficients[:, path.agents] = path.coefficients(penalties[chosen[0]], penalties[chosen[1]])
    offset = means.copy()
    for path in paths:
        offset[path.agents] -= path.centre @ coefficients[:, path.agents]
    return RidgeFit(coefficients, offset, penalties[chosen[0]], penalties[chosen[1]], error)


@dataclass(frozen=True, slots=True, eq=False)
class _Path:
    """Agents tried on the same rows, in the eigenbasis of their features.

    Attributes:
        agents: their numbers.
        centre: mean of the features, [k].
        values, vectors: eigenvalues and -vectors of the features' product, [k] and [k, k].
        projected: features by what the means leave of the targets, in that basis, [k, a].
        errors: squared errors of rows left out, of common part and contrasts per penalty, [2, p].
        spread: the same of the means alone, [2].
    """

    agents: NDArray[np.int64]
    centre: Float32Array
    values: Floats
    vectors: Floats
    projected: Floats
    errors: Floats
    spread: Floats

    def coefficients(self, penalty: float, contrast_penalty: float) -> Floats:
        """Heads, [k, a]."""
        shared, contrasts = _parts(self.projected)
        inner = shared / (self.values + penalty)[:, None]
        inner = inner + contrasts / (self.values + contrast_penalty)[:, None]
        return np.asarray(self.vectors @ inner)


def _paths(
    features: Float32Array, observations: Observations, means: Floats, penalties: tuple[float, ...]
) -> list[_Path]:
    return [
        _path(features[rows], observations.targets[np.ix_(rows, agents)], agents, means, penalties)
        for agents, rows in agents_by_rows(observations.mask)
    ]


def _path(
    features: Float32Array,
    targets: Floats,
    agents: NDArray[np.int64],
    means: Floats,
    penalties: tuple[float, ...],
) -> _Path:
    centre = np.asarray(features.mean(axis=0, dtype=np.float64), dtype=np.float32)
    centred = features - centre
    residual = targets - means[agents]
    values, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    values = np.maximum(values, 0.0)
    rotated = centred @ vectors.astype(np.float32)
    projected = rotated.T.astype(np.float64) @ residual
    squared = rotated * rotated
    left_out = _parts(residual)
    products = _parts(projected)
    errors = np.empty((2, len(penalties)))
    for number, penalty in enumerate(penalties):
        shrunk = 1.0 / (values + penalty)
        leverage = squared @ shrunk.astype(np.float32) + 1.0 / (len(targets) + 1.0)
        stretch = 1.0 / np.maximum(1.0 - leverage, 0.01)[:, None]
        for part in (0, 1):
            missed = left_out[part] - rotated @ (shrunk[:, None] * products[part])
            errors[part, number] = float(((missed * stretch) ** 2).sum())
    spread = np.array([float((part**2).sum()) for part in left_out])
    return _Path(agents, centre, values, vectors, projected, errors, spread)


def _parts(values: Floats) -> tuple[Floats, Floats]:
    """What the agents have in common, and how each differs from it; [m, a] both.

    How hard a request is for everybody is seen more clearly than who does better on it, so the
    two want different penalties (Breiman and Friedman, Predicting Multivariate Responses, 1997).
    """
    shared = np.repeat(values.mean(axis=1, keepdims=True), values.shape[1], axis=1)
    if values.shape[1] == 1:
        return shared, np.zeros_like(values)
    return shared, values - shared


def agents_by_rows(mask: Mask) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Group agents that were tried on exactly the same requests.

    Yields:
        Numbers of the agents, and of the rows; agents that were never tried are left out.
    """
    columns: dict[bytes, list[int]] = {}
    for agent in range(mask.shape[1]):
        columns.setdefault(mask[:, agent].tobytes(), []).append(agent)
    for agents in columns.values():
        rows = np.flatnonzero(mask[:, agents[0]])
        if len(rows):
            yield np.array(agents, dtype=np.int64), rows
