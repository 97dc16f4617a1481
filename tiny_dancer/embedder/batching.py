"""Texts of many clients, brought together for the model, with a bound on how many may wait.

Nothing waits for a batch to fill: an engine that is free takes what waits, so batches are as long
as the last one took, and a lone client never pays for others that might come. Clients take turns
(``turns``): a batch of long texts does not hold up those who ask for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedder.engine import Engine
from tiny_dancer.embedder.turns import Turns
from tiny_dancer.errors import EmbedderBusyError, InvalidArgumentError

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A text that waits for its vector."""

    text: str
    max_windows: int
    vector: asyncio.Future[Vector]


class Batching:
    """Hands waiting texts to an engine, one of each request in turn.

    Args:
        engine: embeds them.
        max_batch: texts in one call of an engine that gains from batches; others get one.
        queue: texts that may wait. A request is admitted whole or not at all; one longer than
            the queue only while nothing waits.
    """

    def __init__(self, engine: Engine, *, max_batch: int, queue: int) -> None:
        self.embedded = 0
        self.refused = 0
        self._engine = engine
        self._max_batch = max_batch if engine.gains_from_batches else 1
        self._queue = queue
        self._waiting: Turns[_Waiting] = Turns()
        self._idle = engine.concurrency
        self._pool = ThreadPoolExecutor(engine.concurrency, thread_name_prefix="engine")
        self._running: set[asyncio.Task[None]] = set()

    async def embed(self, texts: Sequence[str], max_windows: int) -> Vector:
        """Embed texts as soon as it is their turn.

        Args:
            texts: of one client; where it gives up and cancels, they are not embedded any more.
            max_windows: how many windows of a long text are embedded.

        Returns:
            The vectors, shape [len(texts), dimension].

        Raises:
            EmbedderBusyError: too many texts wait already.
            InvalidArgumentError: a text has nothing to embed.
        """
        if self._waiting and len(self._waiting) + len(texts) > self._queue:
            self.refused += 1
            raise EmbedderBusyError(f"{len(self._waiting)} texts are waiting")
        loop = asyncio.get_running_loop()
        mine = [_Waiting(text, max_windows, loop.create_future()) for text in texts]
        request = self._waiting.add(mine)
        self._start()
        try:
            return np.stack(await asyncio.gather(*(waiting.vector for waiting in mine)))
        except BaseException:
            # Nobody waits for the others any more.
            self._waiting.withdraw(request)
            for waiting in mine:
                waiting.vector.cancel()
            raise

    async def close(self) -> None:
        """Wait for what is under way, and end the threads."""
        while self._running:
            await asyncio.wait(self._running)
        self._pool.shutdown()

    def _start(self) -> None:
        """Give every idle thread of the engine what waits."""
        while self._idle:
            batch = self._take()
            if not batch:
                return
            self._idle -= 1
            task = asyncio.create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take(self) -> list[_Waiting]:
        """Take the texts of the next call: all for the same number of windows."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._max_batch:
            if batch and self._waiting.next().max_windows != batch[0].max_windows:
                break
            batch.append(self._waiting.take())
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        try:
            await self._embed(batch)
        finally:
            self._idle += 1
            self._start()

    async def _embed(self, batch: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        texts = [waiting.text for waiting in batch]
        try:
            vectors = await loop.run_in_executor(
                self._pool, self._engine.embed, texts, batch[0].max_windows
            )
        except InvalidArgumentError as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            # Find out whose text it is: the others are not to blame.
            for waiting in batch:
                await self._embed([waiting])
        # Whatever a model raises is the clients' to hear; the server goes on.
        except Exception as error:
            _fail(batch, error)
        else:
            self.embedded += len(batch)
            for waiting, vector in zip(batch, vectors, strict=True):
                if not waiting.vector.done():
                    waiting.vector.set_result(vector)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.vector.done():
            waiting.vector.set_exception(error)
