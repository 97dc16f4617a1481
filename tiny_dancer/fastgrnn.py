"""FastGRNN: a gated recurrent cell small enough to run inside every decision.

One step from input x and state h, with ⊙ the product by element:

    z  = σ(W_z x + U_z h + b_z)                 the gate
    h̃  = tanh(W_h x + U_h h + b_h)              the update
    h' = (ζ(1 − z) + ν) ⊙ h̃ + z ⊙ h

so |h_t| ≤ |h_0| + t(ζ + ν) by element. This is the plan's cell. The cell of the paper ties
W_z = W_h and U_z = U_h, trains ζ and ν through a sigmoid, and may factor W and U into two
narrow matrices; all of these are options of ``FastGRNNForm``.

Source: Kusupati et al., FastGRNN: A Fast, Accurate, Stable and Tiny Kilobyte Sized Gated
Recurrent Neural Network, NeurIPS 2018.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal, Self, cast, get_args

import numpy as np
from numpy import add, multiply, ndarray, subtract, tanh
from numpy.typing import ArrayLike, NDArray

from tiny_dancer.errors import InvalidArgumentError, NotReadyError
from tiny_dancer.weights import DamagedWeightsError, Float32Array, Manifest, pack, unpack

TrainedOn = Literal["untrained", "one-step", "sequence"]

_FLOAT32 = np.dtype(np.float32)

START_ZETA_HAT = 1.0
START_NU_HAT = -4.0
"""Where trained ζ and ν start, before the sigmoid (the paper's values)."""


@dataclass(frozen=True, slots=True)
class FastGRNNForm:
    """Which FastGRNN: its sizes and its variant.

    Attributes:
        input_dim: length D of an input vector.
        hidden_dim: length H of the state.
        tied: one W and one U serve both gate and update, as in the paper.
        input_rank: W = W₁W₂ᵀ with this inner dimension; None keeps W whole.
        recurrent_rank: the same for U.
        zeta: ζ where it is fixed.
        nu: ν where it is fixed.
        learn_zeta_nu: ζ and ν are trained (through a sigmoid) and the two above do not count.
    """

    input_dim: int
    hidden_dim: int
    tied: bool = False
    input_rank: int | None = None
    recurrent_rank: int | None = None
    zeta: float = 1.0
    nu: float = 1.0
    learn_zeta_nu: bool = False

    def __post_init__(self) -> None:
        for name in ("input_dim", "hidden_dim", "input_rank", "recurrent_rank"):
            value = getattr(self, name)
            if value is None and name.endswith("rank"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidArgumentError(
                    f"{name} must be a whole number of at least 1, not {value!r}"
                )
        for name in ("tied", "learn_zeta_nu"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidArgumentError(
                    f"{name} must be true or false, not {getattr(self, name)!r}"
                )
        for name in ("zeta", "nu"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < 0:
                raise InvalidArgumentError(
                    f"{name} must be a finite number of at least 0, not {value!r}"
                )

    @property
    def matrices(self) -> int:
        """How many W (and U) there are: 1 where tied, else gate and update."""
        return 1 if self.tied else 2

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor, in the order in which they are stored.

        The first axis of ``w`` and ``u`` is (gate, update), or has length 1 where tied.
        """
        g, h, d = self.matrices, self.hidden_dim, self.input_dim
        shapes: dict[str, tuple[int, ...]] = {}
        if self.input_rank is None:
            shapes["w"] = (g, h, d)
        else:
            shapes["w_left"] = (g, h, self.input_rank)
            shapes["w_right"] = (g, d, self.input_rank)
        if self.recurrent_rank is None:
            shapes["u"] = (g, h, h)
        else:
            shapes["u_left"] = (g, h, self.recurrent_rank)
            shapes["u_right"] = (g, h, self.recurrent_rank)
        shapes["b"] = (2, h)
        if self.learn_zeta_nu:
            shapes["zeta_hat"] = (1,)
            shapes["nu_hat"] = (1,)
        return shapes


@dataclass(frozen=True, slots=True, eq=False)
class FastGRNNWeights:
    """The numbers of a FastGRNN; immutable.

    Attributes:
        form: sizes and variant.
        tensors: read-only float32 arrays with the names and shapes of ``form.shapes()``.
        trained_on: "one-step" weights were trained from a zero state with one input each, so
            their U never got a gradient and means nothing; "sequence" weights were trained
            through time.
    """

    form: FastGRNNForm
    tensors: Mapping[str, Float32Array]
    trained_on: TrainedOn = "untrained"

    def __post_init__(self) -> None:
        if self.trained_on not in get_args(TrainedOn):
            raise InvalidArgumentError(
                f"trained_on must be one of {', '.join(get_args(TrainedOn))}, "
                f"not {self.trained_on!r}"
            )
        shapes = self.form.shapes()
        if set(self.tensors) != set(shapes):
            raise InvalidArgumentError(
                f"weights need the tensors {', '.join(shapes)}, "
                f"not {', '.join(self.tensors) or 'none'}"
            )
        own = {name: _own(name, self.tensors[name], shape) for name, shape in shapes.items()}
        object.__setattr__(self, "tensors", MappingProxyType(own))

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        """Copy and pickle by what they were made of: a read-only mapping can not be copied."""
        return type(self), (self.form, dict(self.tensors), self.trained_on)

    @classmethod
    def initial(cls, form: FastGRNNForm, seed: int = 0) -> Self:
        """Random weights to start training from; the same seed gives the same weights.

        Uniform in ±√(6 / (fan-in + fan-out)) (Glorot and Bengio, 2010), biases zero.

        Args:
            form: sizes and variant.
            seed: of the generator.
        """
        generator = np.random.default_rng(seed)
        tensors: dict[str, Float32Array] = {}
        for name, shape in form.shapes().items():
            if name == "b":
                tensors[name] = np.zeros(shape, dtype=np.float32)
            elif name == "zeta_hat":
                tensors[name] = np.full(shape, START_ZETA_HAT, dtype=np.float32)
            elif name == "nu_hat":
                tensors[name] = np.full(shape, START_NU_HAT, dtype=np.float32)
            else:
                limit = math.sqrt(6.0 / (shape[-1] + shape[-2]))
                tensors[name] = generator.uniform(-limit, limit, shape).astype(np.float32)
        return cls(form, tensors)

    @property
    def zeta(self) -> float:
        """ζ, fixed or trained."""
        if self.form.learn_zeta_nu:
            return _logistic(float(self.tensors["zeta_hat"][0]))
        return float(self.form.zeta)

    @property
    def nu(self) -> float:
        """ν, fixed or trained."""
        if self.form.learn_zeta_nu:
            return _logistic(float(self.tensors["nu_hat"][0]))
        return float(self.form.nu)

    def description(self) -> dict[str, Any]:
        """What the numbers are, as JSON can hold it: ``form`` and ``trained_on``."""
        return {"form": asdict(self.form), "trained_on": self.trained_on}

    @classmethod
    def from_description(
        cls,
        description: Mapping[str, Any],
        tensors: Mapping[str, Float32Array],
        *,
        where: str = "weights",
    ) -> Self:
        """Put tensors and what ``description`` returned together again.

        Args:
            description: ``form`` and ``trained_on``; further keys are left alone.
            tensors: arrays by name.
            where: what is being loaded, named in errors.

        Raises:
            DamagedWeightsError: they do not fit each other.
        """
        try:
            form = FastGRNNForm(**description["form"])
            return cls(form, tensors, cast(TrainedOn, description["trained_on"]))
        except (KeyError, TypeError, InvalidArgumentError) as error:
            raise DamagedWeightsError(f"{where} is damaged: {error}") from error

    def to_raw(self) -> tuple[Manifest, bytes]:
        """Return the manifest (JSON: form, shapes, checksums) and the raw bytes.

        The bytes are little-endian float32, the tensors in the order of ``form.shapes()``.
        """
        manifest, raw = pack(self.tensors)
        return {**manifest, **self.description()}, raw

    @classmethod
    def from_raw(cls, manifest: Mapping[str, Any], raw: bytes, *, where: str = "weights") -> Self:
        """Read back what ``to_raw`` returned.

        Args:
            manifest: the manifest.
            raw: the bytes.
            where: what is being loaded ("model 7"), named in errors.

        Raises:
            DamagedWeightsError: they were changed or cut short; the message names ``where`` and
                the tensor.
        """
        return cls.from_description(manifest, unpack(manifest, raw, where=where), where=where)


class FastGRNN:
    """A FastGRNN that computes, in float32.

    Every method takes one vector or a batch; the shapes tell. A batch gives the same values
    as its rows one by one up to rounding (BLAS sums in another order). Calls keep no state
    and may run in several threads.

    Args:
        weights: the numbers, see ``FastGRNNWeights``.

    Attributes:
        weights: the numbers.
        form: sizes and variant.
    """

    def __init__(self, weights: FastGRNNWeights) -> None:
        self.weights = weights
        self.form = weights.form
        h = self.form.hidden_dim
        self._input_dim = self.form.input_dim
        self._input_shape = (self._input_dim,)
        self._state_shape = (h,)
        self._tied = self.form.tied
        # σ(a) = (1 + tanh(a/2)) / 2 cannot overflow, and makes gate and update one tanh: the
        # gate's half of weights and biases is stored halved, which is exact in binary.
        self._w = _factors(weights, "w")
        self._u = _factors(weights, "u")
        b = weights.tensors["b"]
        self._b = np.concatenate((b[0] * np.float32(0.5), b[1]))
        self._gate = (Ellipsis, slice(None, h))
        self._update = (Ellipsis, slice(h, None))
        # Vectors, not scalars: an array operand saves NumPy the conversion on every call.
        self._half = np.full(h, 0.5, dtype=np.float32)
        self._zeta = None if weights.zeta == 1.0 else np.full(h, weights.zeta, dtype=np.float32)
        self._reach = np.full(h, weights.zeta + weights.nu, dtype=np.float32)
        self._single_slope = np.full(h, self.single_slope, dtype=np.float32)
        self._single_offset = np.full(h, self.single_offset, dtype=np.float32)

    def step(self, x: ArrayLike, h: ArrayLike) -> Float32Array:
        """Take one step.

        This is the bare equation: it does not ask how the weights were trained.

        Args:
            x: input, [D] or [n, D].
            h: state before, [H] or [n, H].

        Returns:
            The state after, [H] or [n, H]; a new array.

        Raises:
            InvalidArgumentError: wrong shape, or a value that is not finite.
        """
        if type(x) is not ndarray or x.shape != self._input_shape or x.dtype is not _FLOAT32:
            x = self._checked_input(x)
        if type(h) is not ndarray or h.shape != self._state_shape or h.dtype is not _FLOAT32:
            h = self._checked_state(h, x)
        elif x.ndim == 2:
            raise InvalidArgumentError(f"state has shape {h.shape}, not {(len(x), *h.shape)}")
        pre = x
        for factor in self._w:
            pre = pre.dot(factor)
        return self._next(pre, h, x)

    def forward_single(self, x: ArrayLike) -> Float32Array:
        """Encode one input from the zero state; U plays no part.

        Args:
            x: input, [D] or [n, D].

        Returns:
            The state after one step, [H] or [n, H].

        Raises:
            InvalidArgumentError: wrong shape, or a value that is not finite.
        """
        if type(x) is not ndarray or x.shape != self._input_shape or x.dtype is not _FLOAT32:
            x = self._checked_input(x)
        products = x.dot(self._w[0])
        _require_finite(products, x, None)
        return self.forward_products(products)

    def single_rows(self) -> tuple[Float32Array, Float32Array]:
        """The sums of one step from the zero state as one product, whatever the form.

        Returns:
            What an input is multiplied with, [2H, D], and what is added then, [2H]: first the
            update's, then half the gate's. With u and g, the tanh of each, the state after the step
            is u times ``single_offset`` and u · g times ``single_slope``.
        """
        product = functools.reduce(np.dot, self._w)
        h = self.form.hidden_dim
        gate, update = (product * 0.5, product) if self._tied else (product[:, :h], product[:, h:])
        rows = np.ascontiguousarray(np.concatenate((update, gate), axis=1).T, dtype=np.float32)
        return rows, np.concatenate((self._b[h:], self._b[:h]))

    @property
    def single_offset(self) -> float:
        """See ``single_rows``."""
        return 0.5 * self.weights.zeta + self.weights.nu

    @property
    def single_slope(self) -> float:
        """See ``single_rows``."""
        return -0.5 * self.weights.zeta

    def forward_products(self, products: Float32Array) -> Float32Array:
        """Finish ``forward_single`` where the first product is known. Nothing is checked.

        Args:
            products: with the first factor of W; finite, [P] or [n, P]; may be overwritten.

        Returns:
            The state after one step, [H] or [n, H].
        """
        pre = products
        for factor in self._w[1:]:
            pre = pre.dot(factor)
        activation = self._activate(pre)
        gate = activation[self._gate]
        after = multiply(gate, self._single_slope)
        add(after, self._single_offset, after)
        multiply(after, activation[self._update], after)
        return after

    def forward(
        self, sequence: ArrayLike, h: ArrayLike | None = None, *, lengths: ArrayLike | None = None
    ) -> Float32Array:
        """Process a sequence and return the last state.

        Args:
            sequence: inputs in order, [T, D], or a batch [n, T, D].
            h: state to start from, [H] or [n, H]; zeros if None.
            lengths: for a batch, the number of steps that count in each sequence, [n]; what
                follows them is padding. All T if None.

        Returns:
            The state after the last step, [H] or [n, H].

        Raises:
            NotReadyError: the weights were trained on one step only.
            InvalidArgumentError: wrong shape, no steps, or a value that is not finite.
        """
        if self.weights.trained_on == "one-step":
            raise NotReadyError(
                "these FastGRNN weights were trained on one step and cannot take a sequence",
                detail="From a zero state one step gives U no gradient, so U is still random.",
                hint="Use forward_single, or train the weights on sequences.",
            )
        inputs = _as_float32(sequence, "sequence")
        if inputs.ndim not in (2, 3) or inputs.shape[-1] != self._input_dim:
            raise InvalidArgumentError(
                f"sequence has shape {inputs.shape}, not [T, {self._input_dim}] "
                f"or [n, T, {self._input_dim}]"
            )
        steps = inputs.shape[-2]
        if steps == 0:
            raise InvalidArgumentError("sequence has no steps")
        counts = _checked_lengths(lengths, inputs.shape)
        batch = inputs.shape[:-2]
        state = self._start(h, batch)
        projected = inputs.reshape(-1, self._input_dim)
        for factor in self._w:
            projected = projected.dot(factor)
        projected = projected.reshape(*batch, steps, -1)
        for t in range(steps):
            following = self._next(projected[..., t, :].copy(), state, inputs[..., t, :])
            if counts is not None:
                following = np.where((t < counts)[:, None], following, state)
            state = following
        return state

    def _start(self, h: ArrayLike | None, batch: tuple[int, ...]) -> Float32Array:
        if h is None:
            return np.zeros((*batch, *self._state_shape), dtype=np.float32)
        start = _as_float32(h, "state")
        if start.shape != (*batch, *self._state_shape):
            raise InvalidArgumentError(
                f"state has shape {start.shape}, not {(*batch, *self._state_shape)}"
            )
        return start.copy()

    def _next(self, pre: Float32Array, h: Float32Array, x: Float32Array) -> Float32Array:
        """Finish a step whose W x is known; overwrites ``pre``."""
        recurrent = h
        for factor in self._u:
            recurrent = recurrent.dot(factor)
        add(pre, recurrent, pre)
        _require_finite(pre, x, h)
        activation = self._activate(pre)
        gate = activation[self._gate]
        update = activation[self._update]
        multiply(gate, self._half, gate)
        add(gate, self._half, gate)
        # (ζ(1 − z) + ν) h̃ + z h  =  (ζ + ν) h̃ + z (h − ζ h̃), which is fewer passes.
        after = subtract(h, update if self._zeta is None else multiply(update, self._zeta))
        multiply(after, gate, after)
        multiply(update, self._reach, update)
        add(after, update, after)
        return after

    def _activate(self, pre: Float32Array) -> Float32Array:
        """The tanh of half the gate's and of the update's sum, [..., 2H]; overwrites ``pre``."""
        if self._tied:
            pre = np.concatenate((multiply(pre, self._half), pre), axis=-1)
        add(pre, self._b, pre)
        tanh(pre, pre)
        return pre

    def _checked_input(self, x: ArrayLike) -> Float32Array:
        x = _as_float32(x, "input")
        shape = x.shape
        if len(shape) not in (1, 2) or shape[-1] != self._input_dim:
            raise InvalidArgumentError(
                f"input has shape {shape}, not [{self._input_dim}] or [n, {self._input_dim}]"
            )
        return x

    def _checked_state(self, h: ArrayLike, x: Float32Array) -> Float32Array:
        h = _as_float32(h, "state")
        expected = self._state_shape if x.ndim == 1 else (len(x), self.form.hidden_dim)
        if h.shape != expected:
            raise InvalidArgumentError(f"state has shape {h.shape}, not {expected}")
        return h


def _factors(weights: FastGRNNWeights, name: Literal["w", "u"]) -> tuple[Float32Array, ...]:
    """The matrices that a row vector passes through, gate and update side by side.

    Views with the long axis contiguous: that is the order in which BLAS is fastest for one
    vector.
    """
    tensors = weights.tensors
    if name in tensors:
        return (_stack_rows(tensors[name]).T,)
    left, right = tensors[f"{name}_left"], tensors[f"{name}_right"]
    narrow = right.transpose(0, 2, 1).reshape(-1, right.shape[1])
    if weights.form.tied:
        return np.ascontiguousarray(narrow).T, np.ascontiguousarray(left[0]).T
    h, rank = left.shape[1:]
    wide = np.zeros((2 * h, 2 * rank), dtype=np.float32)
    wide[:h, :rank] = left[0] * np.float32(0.5)
    wide[h:, rank:] = left[1]
    return np.ascontiguousarray(narrow).T, wide.T


def _stack_rows(tensor: Float32Array) -> Float32Array:
    """[G, H, K] → [G·H, K], the gate's rows halved where it has rows of its own."""
    if tensor.shape[0] == 1:
        return np.ascontiguousarray(tensor[0])
    return np.concatenate((tensor[0] * np.float32(0.5), tensor[1]))


def _own(name: str, tensor: Float32Array, shape: tuple[int, ...]) -> Float32Array:
    """A read-only float32 copy of the expected shape, or an error that names the tensor."""
    own = _as_float32(tensor, f"tensor {name!r}").copy()
    if own.shape != shape:
        raise InvalidArgumentError(f"tensor {name!r} has shape {own.shape}, not {shape}")
    if not np.isfinite(own).all():
        raise InvalidArgumentError(f"tensor {name!r} holds a value that is not finite")
    own.setflags(write=False)
    return own


def _as_float32(value: ArrayLike, what: str) -> Float32Array:
    """The value as a float32 array; the very array where it is one."""
    if type(value) is ndarray and value.dtype is _FLOAT32:
        return value
    try:
        array: NDArray[Any] = np.asarray(value)
    except ValueError as error:
        raise InvalidArgumentError(f"{what} is no array of numbers: {error}") from error
    if array.dtype.kind not in "fiu":
        raise InvalidArgumentError(f"{what} holds {array.dtype} values, not numbers")
    with np.errstate(over="ignore"):  # an overflow becomes an infinity, which is refused later
        return array.astype(np.float32)


def _checked_lengths(lengths: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    if lengths is None:
        return None
    if len(shape) != 3:
        raise InvalidArgumentError("lengths go with a batch of sequences, [n, T, D]")
    counts = np.asarray(lengths)
    if counts.shape != shape[:1] or counts.dtype.kind not in "iu":
        raise InvalidArgumentError(f"lengths must be {shape[0]} whole numbers")
    if counts.size and (counts.min() < 1 or counts.max() > shape[1]):
        wrong = counts[(counts < 1) | (counts > shape[1])][0]
        raise InvalidArgumentError(f"lengths must lie between 1 and {shape[1]}, not {wrong}")
    return counts.astype(np.int64)


def _require_finite(sums: Float32Array, x: Float32Array, h: Float32Array | None) -> None:
    # A NaN or an infinity in x or h reaches every sum, and the product of all of them with
    # themselves is the cheapest test that cannot miss one.
    flat = sums if sums.ndim == 1 else sums.reshape(-1)
    if not math.isfinite(flat.dot(flat)):
        _refuse_not_finite(x, h)


def _refuse_not_finite(x: Float32Array, h: Float32Array | None) -> None:
    """Say which value broke the step."""
    for name, array in (("input", x), ("state", h)):
        if array is None:
            continue
        places = np.argwhere(~np.isfinite(array))
        if len(places):
            place = tuple(int(i) for i in places[0])
            raise InvalidArgumentError(
                f"{name} holds {float(array[place])} at {', '.join(map(str, place))}"
            )
    raise InvalidArgumentError(
        "input or state holds values too large for float32",
        hint="Scale the vectors; unit length is usual for embeddings.",
    )


def _logistic(value: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * value))
