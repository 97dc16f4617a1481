"""What every embedding provider offers, and how one is opened from a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.model_folder import ModelFolder, read_model_folder
from tiny_dancer.embedding.windows import DEFAULT_MAX_WINDOWS
from tiny_dancer.errors import InvalidArgumentError, NotReadyError


class EmbeddingProvider(Protocol):
    """Turns text into vectors of unit length.

    Attributes:
        name: the model's name, as a database registers it.
        dimension: length of the vectors.
    """

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        ...

    def embed(self, text: str) -> NDArray[np.float32]:
        """Embed one text.

        Args:
            text: what to embed; its length is the caller's business.

        Returns:
            The vector, shape [dimension], of unit L2 norm.

        Raises:
            InvalidArgumentError: the text is empty or only white space.
        """
        ...

    def embed_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed several texts, each exactly as `embed` would.

        Args:
            texts: what to embed.

        Returns:
            The vectors, shape [len(texts), dimension], each of unit L2 norm.

        Raises:
            InvalidArgumentError: a text is empty or only white space.
        """
        ...


def open_provider(
    folder: ModelFolder | Path, *, max_windows: int = DEFAULT_MAX_WINDOWS
) -> EmbeddingProvider:
    """Open the provider that a model folder names.

    Args:
        folder: the model, read already or as a path (then its files are checked by size).
        max_windows: how many windows of a text longer than the model's are embedded.

    Returns:
        A provider that is ready to embed.

    Raises:
        MissingFileError: a file of the model or a package it needs is not there.
        NotReadyError: the folder is for a provider that this version does not know.
    """
    model = read_model_folder(folder) if isinstance(folder, Path) else folder
    if model.manifest.provider == "onnx":
        from tiny_dancer.embedding.onnx import OnnxProvider

        return OnnxProvider(model, max_windows=max_windows)
    if model.manifest.provider == "static":
        from tiny_dancer.embedding.static import StaticProvider

        return StaticProvider(model)
    raise NotReadyError(
        f'model "{model.manifest.name}" is for the provider "{model.manifest.provider}", '
        "which this version does not have",
        hint="Update tiny_dancer, or import the model again with --as onnx or static.",
    )


def require_text(text: str) -> None:
    """Refuse a text that has nothing to embed.

    Raises:
        InvalidArgumentError: the text is empty or only white space.
    """
    if not text or text.isspace():
        raise InvalidArgumentError(
            "text to embed is empty",
            hint="Pass text with at least one character that is not white space.",
        )


def embed_each(provider: EmbeddingProvider, texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed texts one call each, so that a vector never depends on its neighbours.

    Quantised activations are scaled per call: a text inside a padded batch would get a
    slightly different vector than alone, and the two would be stored and compared.

    Args:
        provider: what embeds a single text.
        texts: what to embed.

    Returns:
        The vectors, shape [len(texts), provider.dimension].
    """
    vectors = np.empty((len(texts), provider.dimension), dtype=np.float32)
    for row, text in enumerate(texts):
        vectors[row] = provider.embed(text)
    return vectors
