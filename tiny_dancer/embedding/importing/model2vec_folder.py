"""Reading a table that Model2Vec has made, in the folder format it saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.importing.required_packages import require_package
from tiny_dancer.embedding.importing.vocabulary import Vocabulary, read_vocabulary
from tiny_dancer.embedding.importing.weights import WEIGHTS_FILE
from tiny_dancer.errors import InvalidArgumentError, MissingFileError


def is_model2vec(path: Path) -> bool:
    """Whether a folder says that it is one of Model2Vec."""
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == "model2vec"


def read_model2vec(path: Path) -> tuple[Vocabulary, NDArray[np.float32]]:
    """Read the vocabulary and the vector of each of its tokens.

    Model2Vec leaves unknown words out, so their vector is zero.

    Args:
        path: a folder with ``model.safetensors`` (``embeddings``, and in newer ones ``weights``
            and ``mapping``) and ``tokenizer.json``.

    Returns:
        The vocabulary, and the vectors, shape [tokens, dimension].

    Raises:
        MissingFileError: a file is missing or damaged.
        InvalidArgumentError: the tokenizer is not that of a BERT, or the shapes do not agree.
    """
    vocabulary = read_vocabulary(path)
    arrays = _arrays(path / WEIGHTS_FILE)
    vectors = arrays.get("embeddings")
    if vectors is None or vectors.ndim != 2:
        raise _disagree("there is no matrix of embeddings")
    ids = np.array(vocabulary.ids)
    mapping, weights = arrays.get("mapping"), arrays.get("weights")
    rows = ids if mapping is None else _taken(mapping, ids)
    table = _taken(vectors, rows.astype(np.int64)).astype(np.float32)
    if weights is not None:
        table *= _taken(weights, ids).astype(np.float32)[:, None]
    if not np.isfinite(table).all():
        raise _disagree("a vector is not finite")
    table[vocabulary.tokens.index("[UNK]")] = 0.0
    return vocabulary, table


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    safetensors = require_package("safetensors")
    if not file.is_file():
        raise MissingFileError(f"{file} is not there", hint="Save the model again.")
    try:
        with safetensors.safe_open(file, framework="numpy") as tensors:
            return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise MissingFileError(
            f"{file} is damaged", detail=f"{error}.", hint="Fetch the model again."
        ) from error


def _taken(values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    if rows.min() < 0 or rows.max() >= len(values):
        raise _disagree(f"a token points at row {int(rows.max())} of {len(values)}")
    taken: NDArray[Any] = values[rows]
    return taken


def _disagree(what: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"model2vec folder is not consistent: {what}",
        hint="Its tokenizer and its weights do not belong together; save it again.",
    )
