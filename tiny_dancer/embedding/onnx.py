"""The provider that runs a transformer inside the process: onnxruntime and tokenizers."""

from __future__ import annotations

import copy
from array import array
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.model_folder import ModelFolder
from tiny_dancer.embedding.native_libraries import quiet_native_load, release_free_memory
from tiny_dancer.embedding.provider import embed_each, require_text
from tiny_dancer.embedding.text_cuts import cut_between_words
from tiny_dancer.embedding.windows import DEFAULT_MAX_WINDOWS, mean_direction, split_windows
from tiny_dancer.errors import InvalidArgumentError, MissingFileError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions
    from tokenizers import Tokenizer

GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"
TOKENIZER_FILE = "tokenizer.json"
INPUT = "input_ids"
OUTPUT = "embedding"

_LOG_ERRORS_ONLY = 3
# From here on a text takes so long, and so much memory, that returning it is worth the time.
_LONG_TEXT_TOKENS = 128
_LONG_TEXT_CHARACTERS = 2048
# A text takes hundreds of times its size while it is tokenised: so much of it at once.
_CHARACTERS_AT_ONCE = 8192
_CUTTABLE = "BertPreTokenizer"


class OnnxProvider:
    """Embeds text with a graph that takes the tokens of one text and returns one vector.

    Args:
        folder: the model, with its ``model.onnx`` and ``tokenizer.json``.
        max_windows: how many windows of a text longer than the model's are embedded.

    Raises:
        MissingFileError: onnxruntime or tokenizers is not installed, or a file of the model
            is missing or cannot be loaded.
        InvalidArgumentError: ``max_windows`` is below 1.
    """

    def __init__(self, folder: ModelFolder, *, max_windows: int = DEFAULT_MAX_WINDOWS) -> None:
        self._folder = folder
        self._max_windows = _checked_windows(max_windows)
        with quiet_native_load():
            self._tokenizer = load_tokenizer(folder)
            self._session = load_session(folder)
        self._is_cuttable = type(self._tokenizer.pre_tokenizer).__name__ == _CUTTABLE
        self._prefix, self._suffix = special_tokens(self._tokenizer)
        self._window = folder.manifest.max_tokens - len(self._prefix) - len(self._suffix)
        if self._window < 1:
            too_short = ValueError(f"a window of {folder.manifest.max_tokens} tokens")
            raise _unloadable(folder, GRAPH_FILE, too_short)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._folder.manifest.name

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._folder.manifest.dimension

    def with_max_windows(self, max_windows: int) -> OnnxProvider:
        """Return a provider of the same loaded model for another number of windows.

        Args:
            max_windows: as of the class.
        """
        if max_windows == self._max_windows:
            return self
        other = copy.copy(self)
        other._max_windows = _checked_windows(max_windows)
        return other

    def embed(self, text: str) -> NDArray[np.float32]:
        """Embed one text.

        Args:
            text: what to embed; longer than the model's window it is the mean of windows.

        Returns:
            The vector, shape [dimension], of unit L2 norm.

        Raises:
            InvalidArgumentError: the text holds no token (empty, white space, control
                characters).
        """
        require_text(text)
        ids = self._ids(text)
        if not ids:
            raise InvalidArgumentError(
                "text to embed has no token",
                hint="Pass text with at least one visible character.",
            )
        windows = split_windows(ids, self._window, self._max_windows)
        vectors = np.stack([self._run(window) for window in windows])
        if len(ids) >= _LONG_TEXT_TOKENS or len(text) >= _LONG_TEXT_CHARACTERS:
            release_free_memory()
        return mean_direction(vectors)

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

    def _ids(self, text: str) -> Sequence[int]:
        if len(text) <= _CHARACTERS_AT_ONCE or not self._is_cuttable:
            whole: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
            return whole
        ids = array("i")
        for part in cut_between_words(text, _CHARACTERS_AT_ONCE):
            ids.extend(self._tokenizer.encode(part, add_special_tokens=False).ids)
        return ids

    def _run(self, window: list[int]) -> NDArray[np.float32]:
        ids = np.array([[*self._prefix, *window, *self._suffix]], dtype=np.int64)
        vector: NDArray[np.float32] = self._session.run([OUTPUT], {INPUT: ids})[0]
        return vector


def _checked_windows(max_windows: int) -> int:
    if max_windows < 1:
        raise InvalidArgumentError(f"max_windows must be at least 1, not {max_windows}")
    return max_windows


def load_tokenizer(folder: ModelFolder) -> Tokenizer:
    """Load a model's tokenizer.

    Raises:
        MissingFileError: the package or the file is missing, or the file is damaged.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise _missing_package("tokenizers") from error
    path = folder.file(TOKENIZER_FILE)
    try:
        return Tokenizer.from_file(str(path))
    # tokenizers raises bare Exception for a file it cannot parse.
    except Exception as error:
        raise _unloadable(folder, TOKENIZER_FILE, error) from error


def load_session(folder: ModelFolder) -> InferenceSession:
    """Load a model's graph, to run on one thread.

    Raises:
        MissingFileError: the package or a file is missing, or the file is damaged.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing_package("onnxruntime") from error
    try:
        return onnxruntime.InferenceSession(
            str(folder.file(GRAPH_FILE)),
            _session_options(onnxruntime),
            providers=["CPUExecutionProvider"],
        )
    # onnxruntime's exception classes derive from Exception or RuntimeError, by version.
    except Exception as error:
        raise _unloadable(folder, GRAPH_FILE, error) from error


def _session_options(onnxruntime: ModuleType) -> SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # An arena keeps the memory of the longest text for the life of the connection.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # The graph is written with the fused operators: there is nothing left to find.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _LOG_ERRORS_ONLY
    return options


def special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Say which ids the tokenizer puts before and after a text."""
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a").ids
    start = next(i for i in range(len(framed)) if framed[i : i + len(plain)] == plain)
    return framed[:start], framed[start + len(plain) :]


def _missing_package(package: str) -> MissingFileError:
    return MissingFileError(
        f'python package "{package}" is not installed for this python',
        detail="The onnx embedding provider needs onnxruntime and tokenizers.",
        hint='Install the extra "onnx": pip install "tiny-dancer[onnx]".',
    )


def _unloadable(folder: ModelFolder, file: str, error: Exception) -> MissingFileError:
    name = folder.manifest.name
    return MissingFileError(
        f'model "{name}" cannot be loaded from {file}',
        detail=f"The library said: {error}",
        hint=f"Run on this host: tiny-dancer model import {name}",
    )
