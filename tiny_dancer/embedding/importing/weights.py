"""Reading a BERT's weights from safetensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.importing.required_packages import require_package
from tiny_dancer.errors import InvalidArgumentError, MissingFileError

WEIGHTS_FILE = "model.safetensors"

Weights = dict[str, NDArray[np.float32]]


def read_weights(path: Path) -> Weights:
    """Read the weights of a model folder.

    Args:
        path: the folder with ``model.safetensors``.

    Returns:
        float32 arrays by name, without the prefix ``bert.`` that some models carry.

    Raises:
        MissingFileError: there is no such file, or it is damaged.
        InvalidArgumentError: the weights are of a type that NumPy does not have.
    """
    safetensors = require_package("safetensors")
    file = path / WEIGHTS_FILE
    if not file.is_file():
        raise MissingFileError(
            f"{file} is not there",
            detail="Weights are read from safetensors only: the other format, pickle, runs code.",
            hint="Save the model again with a current sentence-transformers.",
        )
    try:
        with safetensors.safe_open(file, framework="numpy") as tensors:
            return {
                name.removeprefix("bert."): tensors.get_tensor(name).astype(np.float32)
                for name in tensors.keys()  # noqa: SIM118 - not a dict
                if tensors.get_slice(name).get_dtype() in _FLOATS
            }
    except safetensors.SafetensorError as error:
        raise MissingFileError(
            f"{file} is damaged", detail=f"{error}", hint="Fetch the model again."
        ) from error


def take(weights: Weights, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Take one array, checking its shape.

    Args:
        weights: the arrays by name.
        name: which.
        shape: what it must have.

    Returns:
        The array.

    Raises:
        InvalidArgumentError: it is missing or of another shape.
    """
    found = weights.get(name)
    if found is None or found.shape != shape:
        is_what = "missing" if found is None else f"of shape {list(found.shape)}"
        raise InvalidArgumentError(
            f'weight "{name}" is {is_what} and should be of shape {list(shape)}',
            hint="The model's config.json and its weights do not belong together.",
        )
    return found


_FLOATS = ("F16", "F32", "F64")
