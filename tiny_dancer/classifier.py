"""Which kind of request is this: a FastGRNN encoder and a linear head over an embedding.

Either exactly one class is right (``fit``, softmax) or any number (``fit_multilabel``, one
sigmoid each). The encoder takes one step from the zero state, so U plays no part; several
trainings from different seeds are joined into one cell. Probabilities are calibrated on rows
held back from training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tiny_dancer.errors import InvalidArgumentError, NotReadyError
from tiny_dancer.fastgrnn import FastGRNN, FastGRNNForm, FastGRNNWeights
from tiny_dancer.training.calibration import calibration_error
from tiny_dancer.training.encoder_training import Descent, Inputs
from tiny_dancer.training.fitting import FEWEST_HELD_BACK, Fit, fit
from tiny_dancer.training.held_back import duplicate_groups, folds
from tiny_dancer.training.loss import FloatArray, Loss, RowNumbers
from tiny_dancer.training.progress import Progress, no_progress
from tiny_dancer.training.sigmoid_cross_entropy import SigmoidCrossEntropy, sigmoid
from tiny_dancer.training.softmax_cross_entropy import SoftmaxCrossEntropy, softmax
from tiny_dancer.weights import DamagedWeightsError, Float32Array, from_blob, to_blob

INPUT_LENGTH = 4.0
"""Embeddings are brought to this length: a unit vector of hundreds of numbers is too quiet for
weights that start at the usual size."""
LENGTHS_AT_ONCE = 2048

HELD_BACK_PARTS = 6
"""One part in six is held back at first."""

Mode = Literal["one", "any"]

_PROBABILITY = itemgetter(1)


@dataclass(frozen=True, slots=True)
class ClassifierSettings:
    """How a classifier is built and trained.

    Attributes:
        hidden_dim: units of each encoder.
        seeds: how many encoders are trained and joined.
        tied: one W serves gate and update.
        descent: how to go downhill.
        seed: of everything random.
    """

    hidden_dim: int = 64
    seeds: int = 3
    tied: bool = True
    descent: Descent = Descent(  # noqa: RUF009  (immutable)
        learning_rate=2e-3, weight_decay=0.1, dropout=0.5, batch_size=64, epochs=60, patience=6
    )
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("hidden_dim", 1), ("seeds", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidArgumentError(
                    f"{name} must be a whole number of at least {least}, not {value!r}"
                )


class RouteClassifier:
    """Classifies requests by their embeddings, in the manner of a scikit-learn estimator.

    Args:
        settings: how it is built and trained.

    Attributes:
        classes_: names of the classes, sorted for ``fit``, as given for ``fit_multilabel``.
        mode_: "one" after ``fit``, "any" after ``fit_multilabel``.
        weights_: of the joined encoder.
        head_: linear head, [C, H], already divided by the temperature.
        bias_: of the head, [C], likewise.
        temperature_: what the logits were divided by.
        metrics_: what was measured on the rows held back; see ``fit``.
    """

    def __init__(self, settings: ClassifierSettings | None = None) -> None:
        self.settings = settings or ClassifierSettings()
        self._cell: FastGRNN | None = None

    def fit(
        self,
        embeddings: ArrayLike,
        labels: Sequence[str],
        *,
        sample_weight: ArrayLike | None = None,
        class_weight: Literal["balanced"] | Mapping[str, float] | None = None,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn to tell classes apart of which exactly one is right.

        Args:
            embeddings: one vector per row, [n, D]; their length does not matter.
            labels: name of the class of each row.
            sample_weight: how much each row counts, [n].
            class_weight: "balanced" gives each class the same say; or a weight by name.
            progress: told ``(epoch, of, loss)`` at least every 0.2 s; may raise to cancel, and
                the classifier is then as it was.

        Returns:
            Itself. ``metrics_`` holds ``rows``, ``held_back_rows``, ``epochs``, and where rows
            could be held back ``accuracy``, ``log_loss`` and ``calibration_error`` (of the top
            class's probability, ten bins of equal mass) on them.

        Raises:
            InvalidArgumentError: fewer than two classes, values that are not finite, shapes
                that do not fit; the message says which.
        """
        vectors = _checked_vectors(embeddings)
        names = _checked_labels(labels, len(vectors))
        classes, numbers = np.unique(np.array(names), return_inverse=True)
        if len(classes) < 2:
            raise InvalidArgumentError(
                f"all {len(names)} rows have the label {names[0]!r}",
                hint="A classifier needs rows of at least two classes.",
            )
        numbers = numbers.astype(np.int64)
        weights = _row_weights(sample_weight, class_weight, classes.tolist(), numbers)
        loss = SoftmaxCrossEntropy(numbers, len(classes), weights)
        held_back = _held_back(vectors, numbers, self.settings.seed)
        # A class that only the rows held back know would be judged without ever being seen.
        seen = np.bincount(numbers) > np.bincount(numbers[held_back], minlength=len(classes))
        held_back = held_back[seen[numbers[held_back]]]
        fitted = self._train(vectors, loss, held_back, progress)
        metrics = _metrics(fitted, loss, len(vectors))
        if len(fitted.held_back_rows):
            probabilities = softmax(fitted.held_back_logits)
            right = probabilities.argmax(axis=1) == numbers[fitted.held_back_rows]
            metrics["accuracy"] = float(right.mean())
            metrics["calibration_error"] = calibration_error(probabilities.max(axis=1), right)
        self._set(fitted, [str(name) for name in classes], "one", metrics)
        return self

    def fit_multilabel(
        self,
        embeddings: ArrayLike,
        indicator: ArrayLike,
        names: Sequence[str],
        *,
        sample_weight: ArrayLike | None = None,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn classes that do not exclude each other, such as the capabilities needed.

        Args:
            embeddings: one vector per row, [n, D]; their length does not matter.
            indicator: whether each class holds for each row, [n, C]; shares in [0, 1] are fine.
            names: of the classes, [C].
            sample_weight: how much each row counts, [n].
            progress: as in ``fit``.

        Returns:
            Itself. ``metrics_`` as in ``fit``, but with ``precision``, ``recall`` and ``f1`` at
            the threshold 0.5 over all rows and classes in place of ``accuracy``.

        Raises:
            InvalidArgumentError: as in ``fit``, or shares outside [0, 1].
        """
        vectors = _checked_vectors(embeddings)
        classes = _checked_labels(names, len(names))
        targets = _checked_indicator(indicator, len(vectors), classes)
        weights = _row_weights(sample_weight, None, [], np.zeros(len(vectors), np.int64))
        loss = SigmoidCrossEntropy(targets, weights=weights)
        rarest = _rarest_class(targets)
        held_back = _held_back(vectors, rarest, self.settings.seed)
        fitted = self._train(vectors, loss, held_back, progress)
        metrics = _metrics(fitted, loss, len(vectors))
        if len(fitted.held_back_rows):
            truth = targets[fitted.held_back_rows] > 0.5
            probabilities = sigmoid(fitted.held_back_logits)
            metrics.update(_multilabel_scores(probabilities, truth))
        self._set(fitted, classes, "any", metrics)
        return self

    def classify(self, embedding: ArrayLike) -> list[tuple[str, float]]:
        """Say how likely each class is.

        Args:
            embedding: of one request, [D].

        Returns:
            Names and calibrated probabilities, the likeliest first; they sum to 1.

        Raises:
            NotReadyError: not fitted, or fitted with ``fit_multilabel``.
            InvalidArgumentError: wrong shape, or a value that is not finite.
        """
        self._require("one")
        # A dozen numbers are faster in plain Python than in NumPy's calls.
        logits = self._logits(_checked_vector(embedding)).tolist()
        highest = max(logits)
        exponentials = [math.exp(logit - highest) for logit in logits]
        total = sum(exponentials)
        return self._ranked([value / total for value in exponentials])

    def classify_capabilities(
        self, embedding: ArrayLike, threshold: float = 0.5
    ) -> list[tuple[str, float]]:
        """Say which classes hold, each for itself.

        Args:
            embedding: of one request, [D].
            threshold: the least probability, in [0, 1].

        Returns:
            Names and calibrated probabilities of at least the threshold, the likeliest first.

        Raises:
            NotReadyError: not fitted, or fitted with ``fit``.
            InvalidArgumentError: wrong shape, a value that is not finite, a threshold outside
                [0, 1].
        """
        self._require("any")
        if not 0.0 <= threshold <= 1.0:
            raise InvalidArgumentError(f"threshold must lie between 0 and 1, not {threshold!r}")
        logits = self._logits(_checked_vector(embedding)).tolist()
        ranked = self._ranked([0.5 + 0.5 * math.tanh(0.5 * logit) for logit in logits])
        return [(name, probability) for name, probability in ranked if probability >= threshold]

    def classify_batch(self, embeddings: ArrayLike) -> list[list[tuple[str, float]]]:
        """Classify many requests at once.

        Args:
            embeddings: one vector per request, [n, D].

        Returns:
            For each what ``classify`` says of it, up to rounding.
        """
        self._require("one")
        return [self._ranked(row) for row in self.predict_proba(embeddings).tolist()]

    def predict_proba(self, embeddings: ArrayLike) -> Float32Array:
        """Calibrated probabilities in the order of ``classes_``, [n, C]."""
        self._require()
        logits = self._logits(_checked_vectors(embeddings))
        probabilities = softmax(logits) if self.mode_ == "one" else sigmoid(logits)
        return np.asarray(probabilities, np.float32)

    def predict(self, embeddings: ArrayLike) -> list[str]:
        """The likeliest class of each row; only after ``fit``."""
        self._require("one")
        return [self.classes_[i] for i in self.predict_proba(embeddings).argmax(axis=1)]

    def to_bytes(self) -> bytes:
        """The whole classifier as one safetensors file; see ``tiny_dancer.weights``."""
        self._require()
        description = {
            "what": "route classifier",
            "mode": self.mode_,
            "classes": self.classes_,
            "temperature": self.temperature_,
            "metrics": self.metrics_,
            "settings": asdict(self.settings),
            **self.weights_.description(),
        }
        tensors = {**self.weights_.tensors, "head": self.head_, "bias": self.bias_}
        return to_blob(tensors, description)

    @classmethod
    def from_bytes(cls, blob: bytes, *, where: str = "classifier") -> Self:
        """Read back what ``to_bytes`` wrote.

        Args:
            blob: the file.
            where: what is being loaded ("classifier 7"), named in errors.

        Raises:
            DamagedWeightsError: the bytes were changed or are no classifier; the message names
                ``where`` and the tensor.
        """
        tensors, description = from_blob(blob, where=where)
        try:
            settings = dict(description["settings"])
            descent = Descent(**settings.pop("descent"))
            loaded = cls(ClassifierSettings(descent=descent, **settings))
            head, bias = tensors.pop("head"), tensors.pop("bias")
            weights = FastGRNNWeights.from_description(description, tensors, where=where)
            classes = _checked_labels(description["classes"], len(description["classes"]))
            expected = (len(classes), weights.form.hidden_dim)
            if head.shape != expected or bias.shape != expected[:1]:
                raise InvalidArgumentError(f"the head has shape {head.shape}, not {expected}")
            if description["mode"] not in ("one", "any"):
                raise InvalidArgumentError(f"the mode is {description['mode']!r}")
            loaded.temperature_ = float(description["temperature"])
            loaded.metrics_ = dict(description["metrics"])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedWeightsError(f"{where} is no classifier: {error}") from error
        loaded.mode_ = description["mode"]
        loaded._install(weights, head, bias, classes)
        return loaded

    def _train(
        self, vectors: Float32Array, loss: Loss, held_back: RowNumbers, progress: Progress
    ) -> Fit:
        form = FastGRNNForm(vectors.shape[1], self.settings.hidden_dim, tied=self.settings.tied)
        return fit(
            form,
            Inputs(_stretched(vectors)),
            loss,
            _paced(self.settings.descent, len(vectors)),
            held_back=held_back,
            seeds=self.settings.seeds,
            seed=self.settings.seed,
            progress=progress,
        )

    def _set(
        self, fitted: Fit, classes: list[str], mode: Mode, metrics: dict[str, float | int]
    ) -> None:
        temperature = np.float32(fitted.temperature)
        self.mode_: Mode = mode
        self.temperature_ = fitted.temperature
        self.metrics_ = metrics
        self._install(
            fitted.encoder.weights,
            fitted.encoder.head / temperature,
            fitted.encoder.bias / temperature,
            classes,
        )

    def _install(
        self, weights: FastGRNNWeights, head: Float32Array, bias: Float32Array, classes: list[str]
    ) -> None:
        self.weights_ = weights
        self.head_ = head
        self.bias_ = bias
        self.classes_ = classes
        self._head = head.T
        self._cell = FastGRNN(weights)

    def _logits(self, vectors: Float32Array) -> Float32Array:
        if self._cell is None:
            raise NotReadyError("this classifier is not fitted", hint="Call fit first.")
        if vectors.shape[-1] != self.weights_.form.input_dim:
            raise InvalidArgumentError(
                f"embedding has {vectors.shape[-1]} dimensions, "
                f"the classifier was fitted on {self.weights_.form.input_dim}",
                hint="Use the embedding model that the classifier was trained with.",
            )
        logits: Float32Array = self._cell.forward_single(_stretched(vectors)).dot(self._head)
        logits += self.bias_
        return logits

    def _ranked(self, probabilities: list[float]) -> list[tuple[str, float]]:
        """Names and probabilities, the likeliest first; the order of classes breaks ties."""
        pairs = zip(self.classes_, probabilities, strict=True)
        return sorted(pairs, key=_PROBABILITY, reverse=True)

    def _require(self, mode: Mode | None = None) -> None:
        if self._cell is None:
            raise NotReadyError("this classifier is not fitted", hint="Call fit first.")
        if mode is not None and self.mode_ != mode:
            wanted = "fit" if mode == "one" else "fit_multilabel"
            other = "fit_multilabel" if mode == "one" else "fit"
            raise NotReadyError(
                f"this classifier was fitted with {other}, which does not answer that",
                hint=f"Use a classifier that was fitted with {wanted}.",
            )


def _paced(descent: Descent, rows: int) -> Descent:
    """Walk many rows in larger batches: as good in a fifth of the time.

    The pace grows with the root of the batch, as the noise of its gradient shrinks.
    """
    size = min(max(descent.batch_size, rows // 64), 4 * descent.batch_size)
    pace = descent.learning_rate * math.sqrt(size / descent.batch_size)
    return replace(descent, batch_size=size, learning_rate=pace)


def _stretched(vectors: Float32Array) -> Float32Array:
    """Vectors of the length that the encoder reads; a zero vector stays zero."""
    if vectors.ndim == 1:
        square = float(vectors.dot(vectors))
        if not math.isfinite(square):
            _checked_vectors(vectors[None])
            raise InvalidArgumentError("embedding holds values too large for float32")
        return vectors * np.float32(INPUT_LENGTH / math.sqrt(square)) if square > 0.0 else vectors
    lengths = np.empty((len(vectors), 1))
    # Some rows at once: copies of all in 64 bits would take longer than the rest of this, and
    # nobody can cancel it meanwhile.
    for start in range(0, len(vectors), LENGTHS_AT_ONCE):
        some = vectors[start : start + LENGTHS_AT_ONCE].astype(np.float64)
        lengths[start : start + len(some)] = np.linalg.norm(some, axis=1, keepdims=True)
    lengths[lengths == 0.0] = 1.0
    return np.asarray(vectors * (INPUT_LENGTH / lengths), np.float32)


def _checked_vector(embedding: ArrayLike) -> Float32Array:
    if type(embedding) is np.ndarray and embedding.dtype == np.float32:
        vector = embedding
    else:
        vector = _numbers(embedding, "embedding")
    if vector.ndim != 1:
        raise InvalidArgumentError(f"embedding has shape {vector.shape}, not [D]")
    return vector


def _checked_vectors(embeddings: ArrayLike) -> Float32Array:
    vectors = _numbers(embeddings, "embeddings")
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise InvalidArgumentError(f"embeddings have shape {vectors.shape}, not [n, D]")
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(wrong):
        raise InvalidArgumentError(f"the embedding of row {wrong[0]} holds a value not finite")
    return vectors


def _numbers(values: ArrayLike, what: str) -> Float32Array:
    try:
        array: NDArray[Any] = np.asarray(values)
    except ValueError as error:
        raise InvalidArgumentError(f"{what} are no array of numbers: {error}") from error
    if array.dtype.kind not in "fiu":
        raise InvalidArgumentError(f"{what} hold {array.dtype} values, not numbers")
    with np.errstate(over="ignore"):  # an overflow becomes an infinity, which is refused later
        return array.astype(np.float32, copy=False)


def _checked_labels(labels: Sequence[str], rows: int) -> list[str]:
    names = list(labels)
    if len(names) != rows:
        raise InvalidArgumentError(f"{len(names)} labels for {rows} embeddings")
    if not names:
        raise InvalidArgumentError("there are no rows to learn from")
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise InvalidArgumentError(
                f"label of row {number} must be a non-empty text, not {name!r}"
            )
    return [str(name) for name in names]


def _checked_indicator(indicator: ArrayLike, rows: int, classes: list[str]) -> NDArray[np.float64]:
    if len(set(classes)) != len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise InvalidArgumentError(f"the class {twice!r} is named twice")
    array: NDArray[Any] = np.asarray(indicator)
    if array.shape != (rows, len(classes)) or array.dtype.kind not in "biuf":
        raise InvalidArgumentError(
            f"indicator has shape {array.shape}, not [{rows}, {len(classes)}]"
        )
    targets = array.astype(np.float64)
    bad = np.argwhere(~((targets >= 0.0) & (targets <= 1.0)))
    if len(bad):
        row, column = (int(i) for i in bad[0])
        raise InvalidArgumentError(
            f"indicator of row {row}, {classes[column]!r} must lie between 0 and 1, "
            f"not {targets[row, column]}"
        )
    return targets


def _row_weights(
    sample_weight: ArrayLike | None,
    class_weight: Literal["balanced"] | Mapping[str, float] | None,
    classes: list[str],
    numbers: NDArray[np.int64],
) -> NDArray[np.float64]:
    """How much each row counts, of mean 1."""
    weights = np.ones(len(numbers))
    if sample_weight is not None:
        given: NDArray[Any] = np.asarray(sample_weight)
        if given.shape != (len(numbers),) or given.dtype.kind not in "iuf":
            raise InvalidArgumentError(f"sample_weight must be {len(numbers)} numbers")
        weights = given.astype(np.float64)
    if class_weight == "balanced":
        totals = np.bincount(numbers, weights, minlength=len(classes))
        weights = weights / np.where(totals > 0.0, totals, 1.0)[numbers]
    elif isinstance(class_weight, Mapping):
        unknown = [name for name in class_weight if name not in classes]
        if unknown:
            raise InvalidArgumentError(f"class_weight names {unknown[0]!r}, which no row has")
        weights = weights * np.array([class_weight.get(name, 1.0) for name in classes])[numbers]
    elif class_weight is not None:
        raise InvalidArgumentError(
            f"class_weight must be 'balanced' or weights by name, not {class_weight!r}"
        )
    if not np.isfinite(weights).all() or (weights < 0.0).any() or weights.sum() <= 0.0:
        raise InvalidArgumentError("weights must be finite, none negative and not all zero")
    return np.asarray(weights / weights.mean())


def _held_back(vectors: Float32Array, strata: NDArray[np.int64], seed: int) -> RowNumbers:
    """A sixth of the rows, classes spread, equal vectors together; none where too few."""
    if len(vectors) < FEWEST_HELD_BACK * HELD_BACK_PARTS:
        return np.zeros(0, dtype=np.int64)
    return folds(duplicate_groups(vectors), strata, HELD_BACK_PARTS, seed)[0]


def _rarest_class(targets: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each row the rarest class that holds for it: that one is hardest to spread."""
    held = targets > 0.5
    frequency = held.sum(axis=0)
    cost = np.where(held, frequency[None, :], len(targets) + 1)
    none = targets.shape[1]
    return np.asarray(np.where(held.any(axis=1), cost.argmin(axis=1), none), np.int64)


def _metrics(fitted: Fit, loss: Loss, rows: int) -> dict[str, float | int]:
    metrics: dict[str, float | int] = {
        "rows": rows,
        "held_back_rows": len(fitted.held_back_rows),
        "epochs": fitted.encoder.epochs,
    }
    if len(fitted.held_back_rows):
        metrics["log_loss"] = loss(fitted.held_back_logits, fitted.held_back_rows)[0]
    return metrics


def _multilabel_scores(probabilities: FloatArray, truth: NDArray[np.bool_]) -> dict[str, float]:
    said = probabilities >= 0.5
    both = float((said & truth).sum())
    precision = both / max(1.0, float(said.sum()))
    recall = both / max(1.0, float(truth.sum()))
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2.0 * both / max(1.0, float(said.sum() + truth.sum())),
        "calibration_error": calibration_error(probabilities.ravel(), truth.ravel()),
    }
