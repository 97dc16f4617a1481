"""Embedding many texts with a model that another one is fitted to.

A token alone is two or three rows for matrices of megabytes: reading those takes longer than the
products. So texts of the same number of tokens go through the model together, without padding,
which changes nothing but rounding, and several cores take such batches at the same time. Which
texts are together depends on the texts alone, so the vectors do not depend on the cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.model_folder import ModelFolder
from tiny_dancer.embedding.native_libraries import quiet_native_load
from tiny_dancer.embedding.onnx import (
    INPUT,
    OUTPUT,
    load_session,
    load_tokenizer,
    special_tokens,
)

# More of either in one call is not faster any more: they leave the cache.
_MOST_TEXTS = 32
_MOST_TOKENS = 256

Floats = NDArray[np.float32]


class Teacher(Protocol):
    """Says which vectors texts should have."""

    def embed_all(self, texts: Sequence[str], on_done: Callable[[int, int], None]) -> Floats:
        """Embed texts; of a long one its first window.

        Args:
            texts: at least one, none of them empty.
            on_done: told after each batch how many of how many are done.

        Returns:
            The unit vectors, shape [texts, dimension].
        """
        ...


class OnnxTeacher:
    """Runs a graph that takes several texts of the same length.

    Args:
        folder: as `Conversion.write_teacher` writes it.
        threads: batches at the same time.
    """

    def __init__(self, folder: ModelFolder, *, threads: int) -> None:
        with quiet_native_load():
            self._tokenizer = load_tokenizer(folder)
            self._session = load_session(folder)
        self._prefix, self._suffix = special_tokens(self._tokenizer)
        self._window = folder.manifest.max_tokens - len(self._prefix) - len(self._suffix)
        self._dimension = folder.manifest.dimension
        self._threads = threads

    def embed_all(self, texts: Sequence[str], on_done: Callable[[int, int], None]) -> Floats:
        """Embed texts; see `Teacher`. Interrupted, it ends after the batches under way."""
        ids = [self._ids(text) for text in texts]
        vectors = np.empty((len(ids), self._dimension), np.float32)
        done = 0
        with ThreadPoolExecutor(self._threads, thread_name_prefix="teacher") as pool:
            under_way: dict[Future[Floats], list[int]] = {}
            try:
                for batch in batches([len(row) for row in ids]):
                    under_way[pool.submit(self._run, [ids[i] for i in batch])] = batch
                for future in as_completed(under_way):
                    batch = under_way[future]
                    vectors[batch] = future.result()
                    done += len(batch)
                    on_done(done, len(ids))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return vectors

    def _ids(self, text: str) -> list[int]:
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids[: self._window]
        return [*self._prefix, *ids, *self._suffix]

    def _run(self, ids: Sequence[Sequence[int]]) -> Floats:
        vectors: Floats = self._session.run([OUTPUT], {INPUT: np.array(ids, dtype=np.int64)})[0]
        return vectors


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Say which texts go through the model together.

    Args:
        lengths: tokens of each text, at least 1.

    Yields:
        Places of texts that have the same length, each place once.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    batch: list[int] = []
    for place in order:
        length = lengths[place]
        most = max(1, min(_MOST_TEXTS, _MOST_TOKENS // length))
        if batch and (lengths[batch[0]] != length or len(batch) == most):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
