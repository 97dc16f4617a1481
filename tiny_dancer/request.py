"""A request as a decision needs it: how long it is and what it means."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tiny_dancer.errors import InvalidArgumentError

CHARACTERS_PER_TOKEN = 4
ORDINARY_LENGTHS = (1e-12, 1e12)
# A square of a length that differs from 1 by less moves no similarity by as much as it is rounded.
LEAST_STRETCH = 1e-6


class Request(NamedTuple):
    """One request.

    Attributes:
        input_tokens: estimated length, at least 1.
        embedding: float32 unit vector, shape [dimension].
        lexical: lexical features; only where what was learned goes by them.
    """

    input_tokens: int
    embedding: NDArray[np.float32]
    lexical: NDArray[np.float32] | None = None


def estimate_tokens(text: str) -> int:
    """Return the tokens of a text: a token for four characters, at least one."""
    return max(1, len(text) // CHARACTERS_PER_TOKEN)


def check_text(text: str | None, *, what: str, most: int) -> str:
    """Return the text if there is something in it to route by.

    Raises:
        InvalidArgumentError: it is missing, blank, longer than ``most`` characters, or an array
            in place of a text.
    """
    if isinstance(text, (list, tuple)):
        raise InvalidArgumentError(
            f"{what} is an array, and a flat array of text is needed",
            hint="Pass a one-dimensional array of text.",
        )
    if text is None or not text or text.isspace():
        raise InvalidArgumentError(
            f"{what} must not be empty", hint="Give the text of what is asked."
        )
    if len(text) > most:
        raise InvalidArgumentError(
            f"{what} has {len(text)} characters",
            detail=f"At most {most} are allowed.",
            hint="Shorten it, or raise the setting max_request_characters.",
        )
    return text


def unit_vector(values: ArrayLike, *, dimension: int | None, what: str) -> NDArray[np.float32]:
    """Return a vector given by a caller, scaled to length 1.

    Args:
        values: shape [dimension].
        dimension: what the active model's vectors have, None if any will do.
        what: name of the argument, for the error.

    Raises:
        InvalidArgumentError: it is not flat, of another dimension, not finite, or all zeros.
    """
    ordinary = _ordinary(values, dimension)
    if ordinary is not None:
        return ordinary
    try:
        # NumPy would make a NULL into a number that is none.
        has_null = isinstance(values, list) and None in values
        vector = np.empty(0) if has_null else np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if vector.ndim != 1 or vector.size == 0:
        raise InvalidArgumentError(
            f"{what} must be a flat array of numbers",
            hint="Give a one-dimensional array without NULLs.",
        )
    if dimension is not None and vector.size != dimension:
        raise InvalidArgumentError(
            f"{what} has {vector.size} dimensions",
            detail=f"The vectors of the active embedding model have {dimension}.",
            hint="Embed with the active model, or make another model the active one.",
        )
    return _scaled(vector, what)


def _ordinary(values: ArrayLike, dimension: int | None) -> NDArray[np.float32] | None:
    """Return 32-bit floats or a list of numbers scaled to length 1, None where there is a catch."""
    if isinstance(values, list) and len(values) == dimension:
        try:
            # Several times faster than having NumPy look at each element of the list.
            vector = np.frombuffer(_packer(len(values))(*values), np.float32)
        except (struct.error, OverflowError):
            return None
    elif isinstance(values, np.ndarray) and values.dtype == np.float32:
        if values.shape != (dimension,):
            return None
        vector = values
    else:
        return None
    # In 64 bits no square of a 32-bit float overflows; switching NumPy's warning off takes longer.
    wide = vector.astype(np.float64)
    squares = float(wide.dot(wide))
    # The vectors of models are of that length already.
    if abs(squares - 1.0) <= LEAST_STRETCH:
        return vector
    length = math.sqrt(squares)
    # Outside these a sum of squares of 32-bit floats loses its precision, or is not finite.
    if not (ORDINARY_LENGTHS[0] < length < ORDINARY_LENGTHS[1]):
        return None
    scaled: NDArray[np.float32] = vector / np.float32(length)
    return scaled


@functools.lru_cache(maxsize=4)
def _packer(count: int) -> Callable[..., bytes]:
    """Return what packs that many numbers; making it takes as long as packing a hundred."""
    return struct.Struct(f"{count}f").pack


def _scaled(vector: NDArray[np.float64], what: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        length = float(np.dot(vector, vector)) ** 0.5
    if not (0.0 < length < float("inf")):
        cause = "is all zeros" if length == 0.0 else "has a value that is not a finite number"
        raise InvalidArgumentError(
            f"{what} {cause}", hint="Give a vector of finite numbers with a direction."
        )
    scaled: NDArray[np.float32] = (vector / length).astype(np.float32)
    return scaled
