"""What an embedder process runs: a model with its name, dimension and checksum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.model_folder import ModelFolder
from tiny_dancer.embedding.onnx import OnnxProvider


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model it is.

    Attributes:
        name: as databases know it.
        dimension: of the vectors.
        checksum: of what decides the vectors, hexadecimal.
    """

    name: str
    dimension: int
    checksum: str


class Engine(Protocol):
    """Turns texts into vectors, in a thread.

    Attributes:
        identity: which model it is.
        concurrency: how many calls may run at once.
        gains_from_batches: whether several texts in one call are faster than one by one.
    """

    identity: Identity
    concurrency: int
    gains_from_batches: bool

    def embed(self, texts: Sequence[str], max_windows: int) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: at least one; each holds a character that is not white space.
            max_windows: how many windows of a long text are embedded.

        Returns:
            Unit vectors, shape [len(texts), dimension].

        Raises:
            InvalidArgumentError: a text has nothing to embed.
        """
        ...


class OnnxEngine:
    """A model of this host, run as a backend runs it: the vectors are the same, bit by bit.

    One text a run. In int8 the activations are scaled per run, so a text in a batch would get
    another vector than alone; and one core is not faster with a batch of such texts.

    Args:
        folder: the model.
        threads: how many texts are embedded at once.

    Raises:
        MissingFileError: a package or a file is missing.
    """

    gains_from_batches = False

    def __init__(self, folder: ModelFolder, *, threads: int) -> None:
        manifest = folder.manifest
        self.identity = Identity(manifest.name, manifest.dimension, manifest.checksum)
        self.concurrency = threads
        self._provider = OnnxProvider(folder)

    def embed(self, texts: Sequence[str], max_windows: int) -> NDArray[np.float32]:
        """Embed texts one by one; see `Engine`."""
        return self._provider.with_max_windows(max_windows).embed_batch(texts)
