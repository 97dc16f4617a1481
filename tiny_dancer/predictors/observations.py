"""What predictors learn from: requests, and how the agents did on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.training.held_back import duplicate_groups, folds
from tiny_dancer.training.loss import RowNumbers
from tiny_dancer.weights import Float32Array

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """Checked training rows.

    Attributes:
        embeddings: float32 [n, d], finite.
        lexical: raw lexical features, float32 [n, l], finite.
        targets: quality of each agent on each request, float64 [n, a] in [0, 1]; 0 where the
            agent was not tried.
        mask: where an agent was tried, [n, a].
    """

    embeddings: Float32Array
    lexical: Float32Array
    targets: Floats
    mask: Mask

    @classmethod
    def checked(
        cls,
        embeddings: ArrayLike,
        lexical: ArrayLike,
        targets: ArrayLike,
        mask: ArrayLike | None = None,
    ) -> Observations:
        """Check shapes and values.

        Args:
            embeddings: [n, d].
            lexical: [n, l]; l may be 0.
            targets: [n, a] in [0, 1]; anything where the mask is false.
            mask: [n, a], true where the agent was tried; everywhere if None.

        Raises:
            InvalidArgumentError: shapes that do not fit, no rows, no agents, nothing observed,
                a value that is not finite, or a target outside [0, 1].
        """
        vectors = _matrix(embeddings, "embeddings", np.float32)
        words = _matrix(lexical, "lexical", np.float32)
        qualities = _matrix(targets, "targets", np.float64)
        tried = np.ones(qualities.shape, bool) if mask is None else np.asarray(mask, dtype=bool)
        for name, array in (("lexical", words), ("targets", qualities), ("mask", tried)):
            if len(array) != len(vectors):
                raise InvalidArgumentError(
                    f"{name} has {len(array)} rows and embeddings has {len(vectors)}"
                )
        if tried.shape != qualities.shape:
            raise InvalidArgumentError(f"mask has shape {tried.shape}, not {qualities.shape}")
        if not tried.any():
            raise InvalidArgumentError(
                "there is no observed outcome to learn from",
                hint="Record outcomes, or pass a query with rows of request, agent and quality.",
            )
        for name, array in (("embeddings", vectors), ("lexical", words)):
            _require_finite(array, name)
        _require_finite(np.where(tried, qualities, 0.0), "targets")
        outside = tried & ((qualities < 0.0) | (qualities > 1.0))
        if outside.any():
            raise InvalidArgumentError(
                f"targets must lie between 0 and 1, not {float(qualities[outside][0])}"
            )
        return cls(vectors, words, np.where(tried, qualities, 0.0), tried)

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def agents(self) -> int:
        """How many agents, a."""
        return int(self.targets.shape[1])

    @property
    def complete(self) -> bool:
        """Whether every agent was tried on every request."""
        return bool(self.mask.all())

    def counts(self) -> Floats:
        """How many outcomes each agent has, [a]."""
        return np.asarray(self.mask.sum(axis=0), dtype=np.float64)

    def means(self) -> Floats:
        """The mean quality of each agent, [a].

        One outcome of the mean of all outcomes is added, so that an agent that was never tried
        has a mean too.
        """
        everything = float(self.targets.sum() / self.mask.sum())
        return np.asarray((self.targets.sum(axis=0) + everything) / (self.counts() + 1.0))

    def rows(self, numbers: RowNumbers) -> Observations:
        """Some of the rows."""
        return Observations(
            self.embeddings[numbers],
            self.lexical[numbers],
            self.targets[numbers],
            self.mask[numbers],
        )

    def groups(self) -> NDArray[np.int64]:
        """Numbers that equal requests share, [n]."""
        return duplicate_groups(self.embeddings)

    def folds(self, count: int, seed: int) -> list[RowNumbers]:
        """Deal the rows into parts, equal requests together; empty parts are left out.

        The agent tried first is spread evenly, so that where each request went to one agent
        every part has outcomes of all.
        """
        parts = folds(self.groups(), self.mask.argmax(axis=1).astype(np.int64), count, seed)
        return [part for part in parts if len(part)]


def _matrix(value: ArrayLike, name: str, dtype: type[Any]) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{name} is no matrix of numbers: {error}") from error
    if array.ndim != 2:
        raise InvalidArgumentError(f"{name} has shape {array.shape}, not [n, columns]")
    if len(array) == 0:
        raise InvalidArgumentError(f"{name} has no rows")
    if array.shape[1] == 0 and name != "lexical":
        raise InvalidArgumentError(f"{name} has no columns")
    return array


def _require_finite(array: NDArray[Any], name: str) -> None:
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise InvalidArgumentError(
            f"{name} holds {float(array[row, column])} at row {row}, column {column}"
        )
