"""Answering clients on a socket until told to stop.

A client that has nothing to ask may stay connected as long as it likes; one that has begun to
send, or has an answer to fetch, must get on with it. One that goes away takes its waiting texts
with it. Whoever breaks the protocol is told so and disconnected.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from typing import cast

from tiny_dancer.embedder.batching import Batching
from tiny_dancer.embedder.engine import Identity
from tiny_dancer.embedding import wire
from tiny_dancer.embedding.provider import require_text
from tiny_dancer.embedding.wire import Greeting, MalformedFrameError, Request, Status
from tiny_dancer.errors import EmbedderBusyError, InvalidArgumentError, TinyDancerError

MOST_CLIENTS = 1000
BACKLOG = 512
# For the rest of a message that has begun, either way.
MESSAGE_SECONDS = 30.0

log = logging.getLogger("tiny_dancer.embedder")


class EmbedderServer:
    """Serves one model.

    Args:
        identity: of the model.
        batching: embeds.
        most_clients: that may be connected at once.
        message_seconds: within which the rest of a message must come or go.
    """

    def __init__(
        self,
        identity: Identity,
        batching: Batching,
        *,
        most_clients: int = MOST_CLIENTS,
        message_seconds: float = MESSAGE_SECONDS,
    ) -> None:
        self.message_seconds = message_seconds
        self._identity = identity
        self._batching = batching
        self._most_clients = most_clients
        self._clients: set[_Client] = set()
        self._all_gone = asyncio.Event()
        self._is_stopping = False

    async def serve(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Serve until told to stop, then answer what has been asked already.

        Args:
            listening: the socket.
            stop: set from outside.
        """
        loop = asyncio.get_running_loop()
        server = await self._listen(loop, listening)
        try:
            await stop.wait()
        finally:
            self._is_stopping = True
            server.close()
            for client in list(self._clients):
                client.leave_if_idle()
            if self._clients:
                await self._all_gone.wait()
            await self._batching.close()

    async def _listen(
        self, loop: asyncio.AbstractEventLoop, listening: socket.socket
    ) -> asyncio.AbstractServer:
        """Take connections on the socket; whoever made it also removes it."""

        def taken() -> _Client:
            return _Client(self)

        if sys.version_info < (3, 13):
            return await loop.create_unix_server(taken, sock=listening, backlog=BACKLOG)
        # It would remove the socket, by the name that it was bound by: that may have been one of a
        # descriptor that is closed by now.
        return await loop.create_unix_server(
            taken, sock=listening, backlog=BACKLOG, cleanup_socket=False
        )

    def welcome(self, client: _Client) -> bytes | None:
        """Take a client in; return the greeting, None where there is none."""
        if self._is_stopping:
            return None
        status = Status.OK if len(self._clients) < self._most_clients else Status.BUSY
        if status == Status.OK:
            self._clients.add(client)
            self._all_gone.clear()
        me = self._identity
        return wire.pack_greeting(Greeting(status, me.name, me.dimension, me.checksum))

    def knows(self, client: _Client) -> bool:
        """Whether a client was taken in and may go on."""
        return client in self._clients and not self._is_stopping

    def forget(self, client: _Client) -> None:
        """Note that a client is gone."""
        self._clients.discard(client)
        if not self._clients:
            self._all_gone.set()

    async def reply(self, request: Request) -> bytes:
        """Return the answer to a request."""
        try:
            for text in request.texts:
                require_text(text)
            vectors = await self._batching.embed(request.texts, request.max_windows)
        except InvalidArgumentError as error:
            return wire.pack_refusal(Status.INVALID_TEXT, error.message, error.hint)
        except EmbedderBusyError as error:
            return wire.pack_refusal(Status.BUSY, error.message)
        # The model's own failure: this client hears of it, the others go on.
        except Exception as error:
            log.exception("the model failed")
            said = error.message if isinstance(error, TinyDancerError) else type(error).__name__
            return wire.pack_refusal(Status.FAILED, said)
        return wire.pack_reply(Status.OK, vectors.astype("<f4", copy=False).tobytes())


class _Client(asyncio.Protocol):
    """One connection: gathers a request, has it answered, and so on."""

    def __init__(self, server: EmbedderServer) -> None:
        self._server = server
        self._received = bytearray()
        self._answering: asyncio.Task[None] | None = None
        self._hurry: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        greeting = self._server.welcome(self)
        if greeting is not None:
            self._transport.write(greeting)
        if not self._server.knows(self):
            self._leave()

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            request = self._whole_request()
        except MalformedFrameError as error:
            log.warning("a client is disconnected: it sent %s", error)
            self._transport.write(wire.pack_refusal(Status.MALFORMED, str(error)))
            self._leave()
            return
        if request is None:
            self._hurry_up()
            return
        self._take_your_time()
        self._received.clear()
        self._answering = asyncio.get_running_loop().create_task(self._answer(request))

    def connection_lost(self, error: Exception | None) -> None:
        self._take_your_time()
        if self._answering is not None:
            self._answering.cancel()
        self._server.forget(self)

    def pause_writing(self) -> None:
        # It does not fetch its answers: take no more questions.
        self._transport.pause_reading()
        self._hurry_up()

    def resume_writing(self) -> None:
        if self._transport.is_closing():
            # There is a rest to be fetched, however small, and the server waits for that.
            return
        self._take_your_time()
        self._transport.resume_reading()

    def leave_if_idle(self) -> None:
        """Disconnect, unless there is something to receive, to answer or to fetch."""
        if self._answering is None and not self._received:
            self._leave()

    def _whole_request(self) -> Request | None:
        """Return the request once all of it is there.

        Raises:
            MalformedFrameError: it cannot be one, as far as it is there.
        """
        if self._answering is not None:
            raise MalformedFrameError("a request before the last one was answered")
        if len(self._received) < wire.REQUEST.size:
            return None
        head = bytes(self._received[: wire.REQUEST.size])
        due = wire.REQUEST.size + wire.request_body_length(head)
        if len(self._received) < due:
            return None
        if len(self._received) > due:
            raise MalformedFrameError("a request before the last one was answered")
        return wire.unpack_request(head, bytes(self._received[wire.REQUEST.size :]))

    async def _answer(self, request: Request) -> None:
        reply = await self._server.reply(request)
        self._answering = None
        self._transport.write(reply)
        if not self._server.knows(self):
            self._leave()

    def _leave(self) -> None:
        """Disconnect once what is still to be fetched was, or has not been for too long."""
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._hurry_up()

    def _hurry_up(self) -> None:
        if self._hurry is None:
            loop = asyncio.get_running_loop()
            self._hurry = loop.call_later(self._server.message_seconds, self._give_up)

    def _take_your_time(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None

    def _give_up(self) -> None:
        log.warning("a client is disconnected: it left a message unfinished for too long")
        self._transport.abort()
