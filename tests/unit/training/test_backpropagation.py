"""Gradients of every form by finite differences in float64, one step and through time."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.fastgrnn import FastGRNN, FastGRNNForm, FastGRNNWeights
from tiny_dancer.training.backpropagation import run_backward, run_forward

FORMS = {
    "plan": FastGRNNForm(4, 3),
    "fixed scalars": FastGRNNForm(4, 3, zeta=0.4, nu=0.2),
    "tied": FastGRNNForm(4, 3, tied=True),
    "trained scalars": FastGRNNForm(4, 3, learn_zeta_nu=True),
    "low rank": FastGRNNForm(4, 3, input_rank=2, recurrent_rank=2),
    "low rank of W": FastGRNNForm(4, 3, input_rank=2),
    "low rank of U": FastGRNNForm(4, 3, recurrent_rank=1),
    "paper": FastGRNNForm(4, 3, tied=True, input_rank=2, recurrent_rank=2, learn_zeta_nu=True),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


def random_tensors(form, seed=0):
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.7, shape) for name, shape in form.shapes().items()}


def numeric_gradient(function, array, epsilon=1e-6):
    gradient = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + epsilon
        above = function()
        array[place] = kept - epsilon
        below = function()
        array[place] = kept
        gradient[place] = (above - below) / (2 * epsilon)
    return gradient


@every_form
@pytest.mark.parametrize(
    ("steps", "lengths"), [(1, None), (4, None), (4, [4, 1, 3])], ids=["one", "four", "padded"]
)
def test_gradients(form, steps, lengths):
    generator = np.random.default_rng(1)
    tensors = random_tensors(form)
    inputs = generator.normal(size=(3, steps, 4))
    direction = generator.normal(size=(3, 3))
    counts = None if lengths is None else np.array(lengths)

    def value():
        return float((run_forward(form, tensors, inputs, counts)[0] * direction).sum())

    _, trace = run_forward(form, tensors, inputs, counts)
    gradients = run_backward(form, tensors, trace, direction)
    for name, tensor in tensors.items():
        expected = numeric_gradient(value, tensor)
        if steps == 1 and name.startswith("u"):
            assert name not in gradients
            assert (expected == 0).all()
        else:
            np.testing.assert_allclose(gradients[name], expected, rtol=1e-5, atol=1e-8)
            assert (expected != 0).any()


@every_form
def test_forward_is_the_cells_forward(form):
    tensors = {name: t.astype(np.float32) for name, t in random_tensors(form).items()}
    cell = FastGRNN(FastGRNNWeights(form, tensors, "sequence"))
    inputs = np.random.default_rng(2).normal(size=(5, 3, 4)).astype(np.float32)
    lengths = np.array([3, 1, 2, 3, 3])
    states, _ = run_forward(form, tensors, inputs, lengths)
    np.testing.assert_allclose(states, cell.forward(inputs, lengths=lengths), rtol=1e-5, atol=1e-6)
    states, _ = run_forward(form, tensors, inputs[:, :1])
    np.testing.assert_allclose(states, cell.forward_single(inputs[:, 0]), rtol=1e-5, atol=1e-6)


@every_form
def test_float32_stays_float32(form):
    tensors = {name: t.astype(np.float32) for name, t in random_tensors(form).items()}
    inputs = np.ones((2, 3, 4), np.float32)
    states, trace = run_forward(form, tensors, inputs)
    gradients = run_backward(form, tensors, trace, states)
    assert states.dtype == np.float32
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}
