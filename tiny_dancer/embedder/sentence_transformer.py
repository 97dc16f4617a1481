"""A model run by sentence-transformers, with whatever architecture and device it supports."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedder.engine import Identity
from tiny_dancer.embedding.model_folder import validate_model_name
from tiny_dancer.embedding.windows import mean_direction, unit, window_starts
from tiny_dancer.errors import InvalidArgumentError, MissingFileError

_SETTINGS = ("*.json", "*.txt", "*.model")
_OTHER_FORMATS = ("onnx", "openvino")
_OWNER_OF_BARE_NAMES = "sentence-transformers"


class SentenceTransformerEngine:
    """Embeds texts in batches, each text of up to one window exactly as ``encode`` does.

    A longer text, which ``encode`` would cut off, is the mean of windows as everywhere here: its
    tokens say where they begin and end, and each window's piece of the text is encoded.

    Args:
        name_or_path: as ``SentenceTransformer`` takes it.
        threads: of torch, for one batch.
        name: as databases know it; by default the last part of ``name_or_path``.

    Raises:
        MissingFileError: sentence-transformers is not installed, or it cannot load the model.
        InvalidArgumentError: the name is not valid, or the model's tokens have no offsets.
    """

    concurrency = 1
    gains_from_batches = True

    def __init__(self, name_or_path: str, *, threads: int, name: str | None = None) -> None:
        checked = validate_model_name(name or Path(name_or_path).name)
        torch, library = _package("torch"), _package("sentence_transformers")
        torch.set_num_threads(threads)
        self._model = _load(library, name_or_path)
        self._tokenizer: Any = self._model.tokenizer
        if not getattr(self._tokenizer, "is_fast", False):
            raise InvalidArgumentError(
                f"model {checked} has a tokenizer without offsets",
                hint="Use a model with a tokenizer.json.",
            )
        dimension = len(self._model.encode("a"))
        self._window = _window(self._model, self._tokenizer)
        self.identity = Identity(checked, dimension, _checksum(_files(name_or_path)))

    def embed(self, texts: Sequence[str], max_windows: int) -> NDArray[np.float32]:
        """Embed texts in one batch.

        Args:
            texts: at least one, none of them white space only.
            max_windows: how many windows of a long text are embedded.

        Returns:
            Unit vectors, shape [len(texts), dimension].

        Raises:
            InvalidArgumentError: a text has no token.
        """
        pieces = [self._pieces(text, max_windows) for text in texts]
        flat = [piece for of_text in pieces for piece in of_text]
        encoded = np.asarray(
            self._model.encode(flat, batch_size=len(flat), show_progress_bar=False), np.float32
        )
        vectors = np.stack([unit(vector) for vector in encoded])
        bounds = np.cumsum([len(of_text) for of_text in pieces])[:-1]
        return np.stack([mean_direction(part) for part in np.split(vectors, bounds)])

    def _pieces(self, text: str, max_windows: int) -> list[str]:
        offsets = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )["offset_mapping"]
        if not offsets:
            raise InvalidArgumentError(
                "text to embed has no token",
                hint="Pass text with at least one visible character.",
            )
        if len(offsets) <= self._window:
            return [text]
        starts = window_starts(len(offsets), self._window, max_windows)
        ends = [min(start + self._window, len(offsets)) - 1 for start in starts]
        return [text[offsets[s][0] : offsets[e][1]] for s, e in zip(starts, ends, strict=True)]


def _package(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingFileError(
            f'python package "{module}" is not installed for this python',
            detail=f"Importing it failed: {error}.",
            hint="Install sentence-transformers beside tiny-dancer, in an environment of its own: "
            "pip install tiny-dancer[sentence-transformers]",
        ) from error


def _load(library: Any, name_or_path: str) -> Any:
    try:
        return library.SentenceTransformer(name_or_path)
    # What it raises depends on what is missing: files, the network, a class.
    except Exception as error:
        raise MissingFileError(
            f"sentence-transformers cannot load {name_or_path!r}",
            detail=f"It said: {' '.join(str(error).split())[:500]}",
            hint="Pass a name of the hub, or a folder that sentence-transformers saved.",
        ) from error


def _window(model: Any, tokenizer: Any) -> int:
    """Return how many tokens of a text the model takes, special ones not counted."""
    most = model.max_seq_length or tokenizer.model_max_length
    return int(most) - int(tokenizer.num_special_tokens_to_add(pair=False))


def _checksum(files: Path) -> str:
    """Digest the files that decide the vectors, hexadecimal.

    Not the weights in memory: what a checkpoint lacks, often the unused pooler, is random anew
    each time that it is loaded.
    """
    digest = hashlib.sha256(b"sentence-transformers")
    weights = sorted(files.rglob("*.safetensors")) or sorted(files.rglob("*.bin"))
    settings = (path for suffix in _SETTINGS for path in files.rglob(suffix))
    chosen = {path for path in (*weights, *settings) if not _is_other_format(path, files)}
    for path in sorted(chosen):
        with path.open("rb") as stream:
            contents = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{path.relative_to(files)} {contents}\n".encode())
    return digest.hexdigest()


def _is_other_format(path: Path, files: Path) -> bool:
    parts = path.relative_to(files).parts
    return parts[0] in _OTHER_FORMATS or any(part.startswith(".") for part in parts)


def _files(name_or_path: str) -> Path:
    """Return the folder of a model that was loaded just now: given, or in the hub's cache."""
    folder = Path(name_or_path)
    if folder.is_dir():
        return folder
    hub = _package("huggingface_hub")
    for repository in (name_or_path, f"{_OWNER_OF_BARE_NAMES}/{name_or_path}"):
        try:
            return Path(hub.snapshot_download(repository, local_files_only=True))
        except (OSError, ValueError):
            # Not this one: the errors of the hub derive from these.
            continue
    raise MissingFileError(
        f"files of {name_or_path!r} cannot be found after loading it",
        hint="Pass a folder that sentence-transformers saved.",
    )
