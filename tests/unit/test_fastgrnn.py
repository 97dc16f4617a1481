"""The cell: hand-computed values, an independent loop in float64, bounds, bad input."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny_dancer.errors import InvalidArgumentError, NotReadyError
from tiny_dancer.fastgrnn import FastGRNN, FastGRNNForm, FastGRNNWeights

FORMS = [
    FastGRNNForm(7, 5),
    FastGRNNForm(7, 5, tied=True),
    FastGRNNForm(7, 5, input_rank=2),
    FastGRNNForm(7, 5, input_rank=2, recurrent_rank=3),
    FastGRNNForm(7, 5, tied=True, input_rank=3, recurrent_rank=2),
    FastGRNNForm(7, 5, tied=True, learn_zeta_nu=True),
    FastGRNNForm(7, 5, zeta=0.3, nu=0.0),
    FastGRNNForm(1, 1),
]


def form_id(form):
    return ",".join(
        f"{name}={getattr(form, name)}"
        for name in ("input_dim", "tied", "input_rank", "recurrent_rank", "zeta", "learn_zeta_nu")
    )


every_form = pytest.mark.parametrize("form", FORMS, ids=form_id)


def random_weights(form, seed=1, trained_on="sequence"):
    """Weights without zeros or special values, biases and scalars included."""
    generator = np.random.default_rng(seed)
    tensors = {
        name: generator.normal(0, 0.8, shape).astype(np.float32)
        for name, shape in form.shapes().items()
    }
    return FastGRNNWeights(form, tensors, trained_on)


def whole(tensors, name):
    """W or U of gate and update as float64, multiplied out."""
    if name in tensors:
        matrices = [np.asarray(m, np.float64) for m in tensors[name]]
    else:
        pairs = zip(tensors[f"{name}_left"], tensors[f"{name}_right"], strict=True)
        matrices = [np.asarray(a, np.float64) @ np.asarray(b, np.float64).T for a, b in pairs]
    return matrices[0], matrices[-1]


def step_by_loops(weights, x, h):
    """The plan's equations, element by element in float64, sharing no code with the cell."""
    form, tensors = weights.form, weights.tensors
    (w_gate, w_update), (u_gate, u_update) = whole(tensors, "w"), whole(tensors, "u")
    zeta, nu = form.zeta, form.nu
    if form.learn_zeta_nu:
        zeta = 1 / (1 + math.exp(-float(tensors["zeta_hat"][0])))
        nu = 1 / (1 + math.exp(-float(tensors["nu_hat"][0])))
    after = []
    for i in range(form.hidden_dim):
        gate, update = float(tensors["b"][0, i]), float(tensors["b"][1, i])
        for j in range(form.input_dim):
            gate += w_gate[i, j] * float(x[j])
            update += w_update[i, j] * float(x[j])
        for j in range(form.hidden_dim):
            gate += u_gate[i, j] * float(h[j])
            update += u_update[i, j] * float(h[j])
        z = 1 / (1 + math.exp(-gate))
        after.append((zeta * (1 - z) + nu) * math.tanh(update) + z * float(h[i]))
    return np.array(after)


def test_step_by_hand():
    # One input, one unit. gate = 0.5·2 + 0.25·1 − 0.25 = 1, update = −0.5·2 + 2·1 − 0.5 = 0.5.
    form = FastGRNNForm(1, 1)
    tensors = {
        "w": np.array([[[0.5]], [[-0.5]]], np.float32),
        "u": np.array([[[0.25]], [[2.0]]], np.float32),
        "b": np.array([[-0.25], [-0.5]], np.float32),
    }
    cell = FastGRNN(FastGRNNWeights(form, tensors))
    # σ(1) = 0.7310585786, tanh(0.5) = 0.4621171573
    # (1·(1 − 0.7310585786) + 1)·0.4621171573 + 0.7310585786·1 = 1.3174585656
    assert cell.step([2.0], [1.0])[0] == pytest.approx(1.3174585656, abs=1e-6)
    # From zero: gate = 0.75, update = −1.5: σ = 0.6791786992, tanh = −0.9051482536
    # (0.3208213008 + 1)·(−0.9051482536) = −1.1955390946
    assert cell.forward_single([2.0])[0] == pytest.approx(-1.1955390946, abs=1e-6)


def test_tied_step_by_hand():
    # gate = 1·0.5 + (−1)·0.5 + 0 = 0, so z = 0.5; update = 0 + 1 = 1, tanh(1) = 0.7615941560.
    form = FastGRNNForm(1, 1, tied=True, zeta=0.5, nu=0.25)
    tensors = {
        "w": np.array([[[1.0]]], np.float32),
        "u": np.array([[[-1.0]]], np.float32),
        "b": np.array([[0.0], [1.0]], np.float32),
    }
    cell = FastGRNN(FastGRNNWeights(form, tensors))
    # (0.5·0.5 + 0.25)·0.7615941560 + 0.5·0.5 = 0.6307970780
    assert cell.step([0.5], [0.5])[0] == pytest.approx(0.6307970780, abs=1e-6)


@every_form
def test_step_equals_loops(form):
    weights = random_weights(form)
    cell = FastGRNN(weights)
    generator = np.random.default_rng(2)
    for _ in range(5):
        x, h = generator.normal(size=form.input_dim), generator.normal(size=form.hidden_dim)
        np.testing.assert_allclose(
            cell.step(x, h), step_by_loops(weights, x, h), rtol=2e-5, atol=2e-6
        )


@every_form
def test_forward_single_is_a_step_from_zero(form):
    weights = random_weights(form)
    x = np.random.default_rng(3).normal(size=form.input_dim)
    expected = step_by_loops(weights, x, np.zeros(form.hidden_dim))
    np.testing.assert_allclose(FastGRNN(weights).forward_single(x), expected, rtol=2e-5, atol=2e-6)


@every_form
def test_the_sums_of_a_single_step_are_one_product(form):
    cell = FastGRNN(random_weights(form))
    x = np.random.default_rng(3).normal(size=form.input_dim).astype(np.float32)
    rows, shift = cell.single_rows()
    update, gate = np.split(np.tanh(rows @ x + shift), 2)
    state = cell.single_offset * update + cell.single_slope * update * gate
    np.testing.assert_allclose(state, cell.forward_single(x), rtol=2e-5, atol=2e-6)


@every_form
def test_forward_equals_loops(form):
    weights = random_weights(form)
    sequence = np.random.default_rng(4).normal(size=(6, form.input_dim))
    start = np.random.default_rng(5).normal(size=form.hidden_dim)
    for h0 in (None, start):
        state = np.zeros(form.hidden_dim) if h0 is None else h0
        for x in sequence:
            state = step_by_loops(weights, x, state)
        np.testing.assert_allclose(
            FastGRNN(weights).forward(sequence, h0), state, rtol=1e-4, atol=1e-5
        )


@every_form
def test_batches_equal_their_rows(form):
    cell = FastGRNN(random_weights(form))
    generator = np.random.default_rng(6)
    x = generator.normal(size=(4, form.input_dim))
    h = generator.normal(size=(4, form.hidden_dim))
    sequences = generator.normal(size=(4, 3, form.input_dim))
    close = {"rtol": 1e-5, "atol": 1e-6}
    rows = [cell.step(a, b) for a, b in zip(x, h, strict=True)]
    np.testing.assert_allclose(cell.step(x, h), rows, **close)
    np.testing.assert_allclose(cell.forward_single(x), [cell.forward_single(a) for a in x], **close)
    np.testing.assert_allclose(
        cell.forward(sequences), [cell.forward(s) for s in sequences], **close
    )
    rows = [cell.forward(s, b) for s, b in zip(sequences, h, strict=True)]
    np.testing.assert_allclose(cell.forward(sequences, h), rows, **close)


def test_lengths_leave_out_the_padding():
    cell = FastGRNN(random_weights(FORMS[0]))
    sequences = np.random.default_rng(7).normal(size=(3, 5, 7))
    lengths = [5, 1, 3]
    expected = [cell.forward(s[:n]) for s, n in zip(sequences, lengths, strict=True)]
    np.testing.assert_allclose(
        cell.forward(sequences, lengths=lengths), expected, rtol=1e-5, atol=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 12),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e4, 1e12]),
    zeta=st.floats(0, 1),
    nu=st.floats(0, 1),
    tied=st.booleans(),
)
def test_state_grows_by_at_most_zeta_plus_nu(seed, steps, scale, zeta, nu, tied):
    generator = np.random.default_rng(seed)
    form = FastGRNNForm(3, 4, tied=tied, zeta=zeta, nu=nu)
    cell = FastGRNN(random_weights(form, seed))
    start = generator.normal(0, 2, 4)
    state = start.copy()
    for t in range(1, steps + 1):
        state = cell.step(generator.normal(0, scale, 3), state)
        assert (np.abs(state) <= np.abs(start) + t * (zeta + nu) + 1e-5 * (t + 2)).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_saturated_gates_are_exact_and_silent(sign):
    cell = FastGRNN(random_weights(FastGRNNForm(1, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = cell.step([sign * 1e15], [0.25, -0.25])
    assert np.isfinite(state).all()
    assert (np.abs(state) <= 2.25).all()


def test_same_seed_same_weights_same_bytes():
    form = FastGRNNForm(9, 4)
    first, again, other = (FastGRNNWeights.initial(form, seed) for seed in (5, 5, 6))
    assert first.to_raw() == again.to_raw()
    assert first.to_raw() != other.to_raw()
    x = np.random.default_rng(0).normal(size=9)
    assert (
        FastGRNN(first).forward_single(x).tobytes() == FastGRNN(again).forward_single(x).tobytes()
    )


def test_trained_scalars_start_where_the_paper_starts():
    weights = FastGRNNWeights.initial(FastGRNNForm(2, 2, tied=True, learn_zeta_nu=True))
    assert weights.zeta == pytest.approx(1 / (1 + math.exp(-1)))
    assert weights.nu == pytest.approx(1 / (1 + math.exp(4)))


def test_inputs_and_weights_are_left_alone():
    cell = FastGRNN(random_weights(FORMS[0]))
    x, h = np.ones(7, np.float32), np.ones(5, np.float32)
    sequence = np.ones((3, 7), np.float32)
    before = cell.weights.to_raw()
    cell.step(x, h)
    cell.forward_single(x)
    cell.forward(sequence, h)
    assert (x == 1).all()
    assert (h == 1).all()
    assert (sequence == 1).all()
    assert cell.weights.to_raw() == before
    with pytest.raises(ValueError, match="read-only"):
        cell.weights.tensors["b"][0, 0] = 1.0


def test_weights_do_not_follow_the_arrays_they_came_from():
    tensors = {name: np.ones(shape, np.float32) for name, shape in FORMS[0].shapes().items()}
    weights = FastGRNNWeights(FORMS[0], tensors)
    tensors["b"][:] = 9
    assert (weights.tensors["b"] == 1).all()


def test_one_step_weights_take_no_sequence():
    cell = FastGRNN(random_weights(FORMS[0], trained_on="one-step"))
    cell.forward_single(np.ones(7))
    with pytest.raises(NotReadyError, match="trained on one step") as raised:
        cell.forward(np.ones((3, 7)))
    assert "forward_single" in raised.value.hint


def test_one_step_gives_u_no_say():
    weights = random_weights(FORMS[0])
    other_u = FastGRNNWeights(FORMS[0], {**weights.tensors, "u": weights.tensors["u"] + 1})
    x = np.ones(7)
    assert (FastGRNN(weights).forward_single(x) == FastGRNN(other_u).forward_single(x)).all()


# NumPy may warn on the way to the error; never without one.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 6])
def test_input_that_is_not_finite(bad, place):
    for form in FORMS[:6]:
        cell = FastGRNN(random_weights(form))
        x, h = np.zeros(7), np.zeros(5)
        x[place] = bad
        for call in (
            lambda cell=cell, x=x, h=h: cell.step(x, h),
            lambda cell=cell, x=x: cell.forward_single(x),
            lambda cell=cell, x=x: cell.forward_single([np.zeros(7), x]),
            lambda cell=cell, x=x: cell.forward([np.zeros(7), x]),
        ):
            with pytest.raises(InvalidArgumentError, match="input holds"):
                call()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_state_that_is_not_finite(bad):
    cell = FastGRNN(random_weights(FORMS[0]))
    with pytest.raises(InvalidArgumentError, match=r"state holds .* at 4"):
        cell.step(np.zeros(7), [0, 0, 0, 0, bad])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [1e39, 3e38])
def test_input_too_large_for_float32(value):
    cell = FastGRNN(random_weights(FORMS[0]))
    with pytest.raises(InvalidArgumentError):
        cell.forward_single(np.full(7, value))


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.step(np.zeros(6), np.zeros(5)),
        lambda c: c.step(np.zeros(7), np.zeros(4)),
        lambda c: c.step(np.zeros((2, 7)), np.zeros(5)),
        lambda c: c.step(np.zeros((2, 7), np.float32), np.zeros(5, np.float32)),
        lambda c: c.step(np.zeros((2, 7)), np.zeros((3, 5))),
        lambda c: c.step(np.zeros(7), np.zeros((1, 5))),
        lambda c: c.step(0.5, np.zeros(5)),
        lambda c: c.forward_single([]),
        lambda c: c.forward_single([[1.0], [1.0, 2.0]]),
        lambda c: c.forward_single(["a"] * 7),
        lambda c: c.forward_single([True] * 7),
        lambda c: c.forward_single([None] * 7),
        lambda c: c.forward_single(np.zeros((2, 2, 7))),
        lambda c: c.forward(np.zeros(7)),
        lambda c: c.forward(np.zeros((3, 6))),
        lambda c: c.forward(np.zeros((0, 7))),
        lambda c: c.forward(np.zeros((3, 7)), np.zeros(4)),
        lambda c: c.forward(np.zeros((2, 3, 7)), np.zeros(5)),
        lambda c: c.forward(np.zeros((3, 7)), lengths=[3]),
        lambda c: c.forward(np.zeros((2, 3, 7)), lengths=[3]),
        lambda c: c.forward(np.zeros((2, 3, 7)), lengths=[3, 0]),
        lambda c: c.forward(np.zeros((2, 3, 7)), lengths=[3, 4]),
        lambda c: c.forward(np.zeros((2, 3, 7)), lengths=[1.5, 2]),
    ],
)
def test_wrong_shapes_and_types(call):
    with pytest.raises(InvalidArgumentError):
        call(FastGRNN(random_weights(FORMS[0])))


@pytest.mark.parametrize(
    "fields",
    [
        {"input_dim": 0},
        {"hidden_dim": -1},
        {"input_dim": 2.0},
        {"hidden_dim": True},
        {"input_rank": 0},
        {"recurrent_rank": 1.5},
        {"zeta": -0.1},
        {"nu": math.nan},
        {"zeta": math.inf},
        {"nu": "1"},
        {"tied": 1},
        {"learn_zeta_nu": None},
    ],
)
def test_forms_that_make_no_sense(fields):
    with pytest.raises(InvalidArgumentError, match=next(iter(fields))):
        FastGRNNForm(**{"input_dim": 2, "hidden_dim": 2, **fields})


def test_weights_that_do_not_fit_the_form():
    form = FastGRNNForm(2, 3)
    good = dict(FastGRNNWeights.initial(form).tensors)
    with pytest.raises(InvalidArgumentError, match="'u' has shape"):
        FastGRNNWeights(form, {**good, "u": np.zeros((2, 3, 2), np.float32)})
    with pytest.raises(InvalidArgumentError, match="'w' holds a value that is not finite"):
        FastGRNNWeights(form, {**good, "w": np.full((2, 3, 2), np.nan, np.float32)})
    with pytest.raises(InvalidArgumentError, match="need the tensors w, u, b"):
        FastGRNNWeights(form, {"w": good["w"]})
    with pytest.raises(InvalidArgumentError, match="trained_on"):
        FastGRNNWeights(form, good, "guessed")


@every_form
def test_raw_bytes_round_trip(form):
    weights = random_weights(form)
    manifest, raw = weights.to_raw()
    assert len(raw) == 4 * sum(math.prod(shape) for shape in form.shapes().values())
    back = FastGRNNWeights.from_raw(manifest, raw)
    assert back.form == form
    assert back.trained_on == "sequence"
    assert back.to_raw() == (manifest, raw)


def test_raw_bytes_are_the_tensors_in_order():
    weights = random_weights(FORMS[0])
    values = np.frombuffer(weights.to_raw()[1], "<f4")
    expected = itertools.chain.from_iterable(t.ravel() for t in weights.tensors.values())
    assert values.tolist() == list(expected)
