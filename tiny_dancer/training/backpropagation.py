"""FastGRNN forwards with everything remembered, and the gradients backwards through time.

With z, h̃ and h' as in ``tiny_dancer.fastgrnn`` and g the gradient by h':

    ∂h̃ = g ⊙ (ζ(1 − z) + ν)             through tanh:  ⊙ (1 − h̃²)
    ∂z  = g ⊙ (h − ζ h̃)                  through σ:     ⊙ z(1 − z)
    ∂h  = g ⊙ z + U_zᵀ ∂(gate's sum) + U_hᵀ ∂(update's sum)
    ∂ζ  = Σ g ⊙ (1 − z) ⊙ h̃             ∂ν = Σ g ⊙ h̃

Works in the precision of its inputs, so that float64 can check it by finite differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.fastgrnn import FastGRNNForm
from tiny_dancer.training.loss import FloatArray
from tiny_dancer.training.sigmoid_cross_entropy import sigmoid

Tensors = Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class _Step:
    """One step as it went: gate and update [n, H], state before, U's inner product, who took it."""

    gate: FloatArray
    update: FloatArray
    before: FloatArray
    inner: FloatArray | None
    active: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class Trace:
    """What the way back needs: the inputs [n, T, D], W's inner product and the steps."""

    inputs: FloatArray
    inner: FloatArray | None
    steps: list[_Step]


def run_forward(
    form: FastGRNNForm,
    tensors: Tensors,
    inputs: FloatArray,
    lengths: NDArray[np.int64] | None = None,
) -> tuple[FloatArray, Trace]:
    """Run sequences from the zero state.

    Args:
        form: sizes and variant.
        tensors: the numbers, named and shaped as ``form.shapes()``.
        inputs: [n, T, D]; T = 1 is the one step that routing uses, in which U plays no part.
        lengths: steps that count in each sequence, [n]; all if None.

    Returns:
        The last states [n, H], and the trace for ``run_backward``.
    """
    n, count, _ = inputs.shape
    zeta, nu = _scalars(form, tensors)
    flat, inner = _product(tensors, "w", inputs.reshape(n * count, -1))
    sums = flat.reshape(n, count, *flat.shape[1:]) + tensors["b"]
    state = np.zeros((n, form.hidden_dim), dtype=sums.dtype)
    steps: list[_Step] = []
    for t in range(count):
        pre, recurrent_inner = sums[:, t], None
        if t > 0:
            recurrent, recurrent_inner = _product(tensors, "u", state)
            pre = pre + recurrent
        gate, update = sigmoid(pre[:, 0]), np.tanh(pre[:, 1])
        after = (zeta * (1.0 - gate) + nu) * update + gate * state
        active = None if lengths is None else t < lengths
        steps.append(_Step(gate, update, state, recurrent_inner, active))
        state = after if active is None else np.where(active[:, None], after, state)
    return state, Trace(inputs, inner, steps)


def run_backward(
    form: FastGRNNForm, tensors: Tensors, trace: Trace, gradient: FloatArray
) -> dict[str, FloatArray]:
    """Gradients of every tensor from the gradient by the last state.

    Args:
        form: sizes and variant.
        tensors: the numbers that ``run_forward`` used.
        trace: what it returned.
        gradient: by the last states, [n, H].

    Returns:
        Arrays named and shaped as the tensors. Sequences of one step give U no gradient, and
        its tensors are then left out.
    """
    zeta, nu = _scalars(form, tensors)
    n, count, _ = trace.inputs.shape
    sums = np.empty((n, count, 2, form.hidden_dim), dtype=gradient.dtype)
    gradients: dict[str, FloatArray] = {}
    by_zeta = by_nu = 0.0
    for t in reversed(range(count)):
        step = trace.steps[t]
        skipped = np.zeros_like(gradient)
        if step.active is not None:
            skipped = np.where(step.active[:, None], 0.0, gradient)
            gradient = gradient - skipped
        gate, update = step.gate, step.update
        by_zeta += float((gradient * (1.0 - gate) * update).sum())
        by_nu += float((gradient * update).sum())
        sums[:, t, 0] = gradient * (step.before - zeta * update) * gate * (1.0 - gate)
        sums[:, t, 1] = gradient * (zeta * (1.0 - gate) + nu) * (1.0 - update * update)
        gradient = gradient * gate + skipped
        if t > 0:
            of_u, by_state = _product_backward(tensors, "u", step.before, step.inner, sums[:, t])
            gradient = gradient + by_state
            _accumulate(gradients, of_u)
    flat = sums.reshape(n * count, 2, -1)
    flat_inputs = trace.inputs.reshape(n * count, -1)
    of_w, _ = _product_backward(tensors, "w", flat_inputs, trace.inner, flat, by_input=False)
    _accumulate(gradients, of_w)
    gradients["b"] = flat.sum(axis=0)
    if form.learn_zeta_nu:
        gradients["zeta_hat"] = np.array([by_zeta * zeta * (1.0 - zeta)], dtype=flat.dtype)
        gradients["nu_hat"] = np.array([by_nu * nu * (1.0 - nu)], dtype=flat.dtype)
    return gradients


def _scalars(form: FastGRNNForm, tensors: Tensors) -> tuple[float, float]:
    if form.learn_zeta_nu:
        return float(sigmoid(tensors["zeta_hat"])[0]), float(sigmoid(tensors["nu_hat"])[0])
    return form.zeta, form.nu


def _product(
    tensors: Tensors, name: Literal["w", "u"], x: FloatArray
) -> tuple[FloatArray, FloatArray | None]:
    """W x or U h for each row, [m, G, H], and where factored the inner product, [m, G, r]."""
    if name in tensors:
        whole = tensors[name]
        groups, h, k = whole.shape
        return (x @ whole.reshape(groups * h, k).T).reshape(-1, groups, h), None
    left, right = tensors[f"{name}_left"], tensors[f"{name}_right"]
    inner = np.einsum("mk,gkr->mgr", x, right, optimize=True)
    return np.einsum("mgr,ghr->mgh", inner, left, optimize=True), inner


def _product_backward(
    tensors: Tensors,
    name: Literal["w", "u"],
    x: FloatArray,
    inner: FloatArray | None,
    sums: FloatArray,
    by_input: bool = True,
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Gradients of W or U, and by its input, from the gradient by gate's and update's sums."""
    groups = next(tensors[key] for key in (name, f"{name}_left") if key in tensors).shape[0]
    if groups == 1:
        sums = sums.sum(axis=1, keepdims=True)
    m, _, h = sums.shape
    nothing = np.zeros(0, dtype=sums.dtype)
    if inner is None:
        flat = sums.reshape(m, groups * h)
        of_whole = (flat.T @ x).reshape(groups, h, -1)
        whole = tensors[name].reshape(groups * h, -1)
        return {name: of_whole}, (flat @ whole if by_input else nothing)
    left, right = tensors[f"{name}_left"], tensors[f"{name}_right"]
    by_inner = np.einsum("mgh,ghr->mgr", sums, left, optimize=True)
    of_factors: dict[str, FloatArray] = {
        f"{name}_left": np.einsum("mgh,mgr->ghr", sums, inner, optimize=True),
        f"{name}_right": np.einsum("mk,mgr->gkr", x, by_inner, optimize=True),
    }
    back = np.einsum("mgr,gkr->mk", by_inner, right, optimize=True) if by_input else nothing
    return of_factors, back


def _accumulate(gradients: dict[str, FloatArray], more: Mapping[str, FloatArray]) -> None:
    for name, gradient in more.items():
        gradients[name] = gradients[name] + gradient if name in gradients else gradient
