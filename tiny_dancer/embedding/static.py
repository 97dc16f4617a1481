"""The provider that looks tokens up: the direction of the sum of their vectors, nothing more.

The table is fitted once (``importing.static_fit``) so that such a sum points where a transformer
would have put the text. What is lost is word order and context; what is won is that a text costs
microseconds and a backend maps a file that all of them share. The idea is that of Model2Vec
(van Dongen and Tulkens, 2024).

The table holds 8-bit integers of one common scale. So the sum is exact, whatever the order of the
tokens and on whatever machine, and only its direction is used. There is no window: however long
a text is, all of it counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.model_folder import ModelFolder
from tiny_dancer.embedding.provider import embed_each, require_text
from tiny_dancer.embedding.windows import unit
from tiny_dancer.embedding.wordpiece import UNKNOWN, Spelling, WordPiece
from tiny_dancer.errors import InvalidArgumentError, MissingFileError

TABLE_FILE = "table.npy"
VOCABULARY_FILE = "vocabulary.json"

# Rows gathered at once: a text of any length takes the memory of so many.
_ROWS_AT_ONCE = 4096


class StaticProvider:
    """Embeds text by adding up the vectors of its tokens.

    Args:
        folder: the model, with its ``table.npy`` and ``vocabulary.json``.

    Raises:
        MissingFileError: a file of the model is damaged.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self._table = _load_table(folder)
        self._tokens = _load_vocabulary(folder, len(self._table))

    @property
    def name(self) -> str:
        """The model's name."""
        return self._folder.manifest.name

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._folder.manifest.dimension

    def embed(self, text: str) -> NDArray[np.float32]:
        """Embed one text.

        Args:
            text: what to embed, of any length.

        Returns:
            The vector, shape [dimension], of unit L2 norm.

        Raises:
            InvalidArgumentError: the text holds no token (empty, white space, control
                characters), or its tokens cancel out.
        """
        rows = self._tokens.rows(text)
        if not rows:
            require_text(text)
            raise InvalidArgumentError(
                "text to embed has no token",
                hint="Pass text with at least one visible character.",
            )
        if len(rows) <= _ROWS_AT_ONCE:
            return _direction(self._table.take(rows, axis=0).sum(axis=0, dtype=np.int32))
        parts = (rows[i : i + _ROWS_AT_ONCE] for i in range(0, len(rows), _ROWS_AT_ONCE))
        sums = [self._table.take(part, axis=0).sum(axis=0, dtype=np.int64) for part in parts]
        return _direction(np.sum(sums, axis=0))

    def embed_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed several texts, each exactly as `embed` would.

        Args:
            texts: what to embed.

        Returns:
            The vectors, shape [len(texts), dimension], each of unit L2 norm.

        Raises:
            InvalidArgumentError: a text holds no token.
        """
        return embed_each(self, texts)


def _direction(total: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.float32]:
    return unit(total.astype(np.float64))


def _load_table(folder: ModelFolder) -> NDArray[np.int8]:
    try:
        table = np.load(folder.file(TABLE_FILE), mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unusable(folder, TABLE_FILE, str(error)) from error
    dimension = folder.manifest.dimension
    if table.ndim != 2 or table.dtype != np.int8 or table.shape[1] != dimension:
        raise _unusable(folder, TABLE_FILE, f"It holds {table.dtype} of shape {table.shape}.")
    # A plain array over the same mapping: each call to a memmap costs microseconds more.
    return np.asarray(table)


def _load_vocabulary(folder: ModelFolder, rows: int) -> WordPiece:
    path = folder.file(VOCABULARY_FILE)
    try:
        stored: Any = json.loads(path.read_text(encoding="utf-8"))
        spelling = Spelling(**{key: bool(value) for key, value in stored["spelling"].items()})
        tokens = {str(token): row for row, token in enumerate(stored["tokens"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(folder, VOCABULARY_FILE, f"It is no vocabulary ({error!r}).") from error
    if len(tokens) != rows or UNKNOWN not in tokens:
        raise _unusable(
            folder, VOCABULARY_FILE, f"It has {len(tokens)} tokens for {rows} rows of the table."
        )
    return WordPiece(tokens, spelling)


def _unusable(folder: ModelFolder, file: str, detail: str) -> MissingFileError:
    name = folder.manifest.name
    return MissingFileError(
        f'model "{name}" cannot be loaded from {file}',
        detail=detail if detail.endswith(".") else f"{detail}.",
        hint="Import it again on this host: tiny-dancer model import NAME_OR_PATH --as static "
        f"--name {name}",
    )
