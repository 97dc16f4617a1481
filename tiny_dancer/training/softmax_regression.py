"""Multinomial logistic regression by L-BFGS, for inputs that fit into memory.

The loss is convex and the start is zero, so that the same rows give the same weights whatever the
seed. Source: Nocedal and Wright, Numerical Optimization, 2nd edition, algorithm 7.5.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Classes = NDArray[np.intp]
Objective = Callable[[Floats], tuple[float, Floats]]
# Called often with how many steps are done; an exception in it ends the fit.
Step = Callable[[int], None]

MEMORY = 10
SETTLED = 1e-5
ROWS_AT_ONCE = 2048
_ARMIJO = 1e-4
_SHORTEST = 1e-6


def fit_softmax_regression(
    inputs: Vectors,
    classes: Classes,
    count: int,
    *,
    penalty: float,
    steps: int,
    after: Step,
) -> Vectors:
    """Fit a linear head per class.

    Args:
        inputs: [n, d].
        classes: of the rows, from 0, [n].
        count: how many classes there are; one without rows gets a head all the same.
        penalty: of half the squared weights, in rows; offsets are hardly penalised.
        steps: at most.
        after: called several times a second with how many steps are done.

    Returns:
        Weights and, in the last column, offsets: [count, d + 1].
    """
    dimension = inputs.shape[1]
    penalties = np.full(dimension + 1, penalty)
    penalties[-1] = 0.01 * penalty
    done = 0

    def objective(flat: Floats) -> tuple[float, Floats]:
        heads = flat.reshape(count, dimension + 1)
        loss, gradient = 0.0, np.zeros(heads.shape)
        for start in range(0, len(inputs), ROWS_AT_ONCE):
            end = start + ROWS_AT_ONCE
            loss += _add_cross_entropy(
                heads.astype(np.float32), inputs[start:end], classes[start:end], gradient
            )
            after(done)
        penalised = penalties * heads
        return loss + 0.5 * float((penalised * heads).sum()), (gradient + penalised).ravel()

    def count_step(step: int) -> None:
        nonlocal done
        done = step

    solution = minimise(objective, np.zeros(count * (dimension + 1)), steps, count_step)
    heads: Vectors = solution.reshape(count, dimension + 1).astype(np.float32)
    return heads


def _add_cross_entropy(heads: Vectors, rows: Vectors, wanted: Classes, gradient: Floats) -> float:
    """Return the loss summed over some rows, and add its gradient to that of the others."""
    places = np.arange(len(rows))
    logits = rows @ heads[:, :-1].T + heads[:, -1]
    logits -= logits.max(axis=1, keepdims=True)
    right = logits[places, wanted].sum(dtype=np.float64)
    probabilities = np.exp(logits)
    totals = probabilities.sum(axis=1, keepdims=True)
    loss = float(np.log(totals).sum(dtype=np.float64) - right)
    probabilities /= totals
    probabilities[places, wanted] -= 1.0
    gradient[:, :-1] += probabilities.T @ rows
    gradient[:, -1] += probabilities.sum(axis=0)
    return loss


def minimise(objective: Objective, start: Floats, steps: int, after: Step) -> Floats:
    """Find the minimum of a smooth convex function.

    Args:
        objective: gives its value and its gradient at a point.
        start: where to begin, [p].
        steps: at most.
        after: called after each step with how many are done.
    """
    point = start
    value, gradient = objective(point)
    moves: list[tuple[Floats, Floats, float]] = []
    for step in range(steps):
        direction = _direction(gradient, moves)
        slope = float(gradient @ direction)
        length = 1.0
        while True:
            reached = point + length * direction
            new_value, new_gradient = objective(reached)
            if new_value <= value + _ARMIJO * length * slope or length < _SHORTEST:
                break
            length *= 0.5
        if new_value >= value:
            break
        move, change = reached - point, new_gradient - gradient
        curvature = float(move @ change)
        if curvature > 1e-12:
            moves = [*moves[-(MEMORY - 1) :], (move, change, 1.0 / curvature)]
        gain = value - new_value
        point, value, gradient = reached, new_value, new_gradient
        after(step + 1)
        if gain < SETTLED * max(1.0, abs(value)):
            break
    return point


def _direction(gradient: Floats, moves: list[tuple[Floats, Floats, float]]) -> Floats:
    """Where to go: the two loops of L-BFGS."""
    if not moves:
        return -gradient / max(1.0, float(np.abs(gradient).sum()))
    direction = -gradient
    shares = []
    for move, change, inverse in reversed(moves):
        share = inverse * float(move @ direction)
        shares.append(share)
        direction -= share * change
    move, change, inverse = moves[-1]
    direction *= 1.0 / (inverse * float(change @ change))
    for (move, change, inverse), share in zip(moves, reversed(shares), strict=True):
        direction += (share - inverse * float(change @ direction)) * move
    return direction
