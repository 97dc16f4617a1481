"""The provider that asks the embedder process of this host over a Unix socket.

The process holds the model once for all connections; a backend holds a socket. What comes back
is checked: the greeting against the model that the caller expects, every length against its bound.
A connection that broke since its last use, because the embedder was restarted, is opened again
once. Whoever waits hands in what lets a cancel through: Python alone is never interrupted.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding import wire
from tiny_dancer.embedding.batch_parts import batch_parts
from tiny_dancer.embedding.provider import require_text
from tiny_dancer.embedding.socket_address import socket_address
from tiny_dancer.embedding.windows import DEFAULT_MAX_WINDOWS
from tiny_dancer.embedding.wire import Greeting, MalformedFrameError, Status
from tiny_dancer.errors import (
    EmbedderBusyError,
    EmbedderConnectionError,
    InvalidArgumentError,
    MissingFileError,
)

TIMEOUT_SECONDS = 30.0
# How long a cancel waits at most.
_WAKE_SECONDS = 0.05
_CHUNK_BYTES = 1 << 20
# Texts of one request: enough to fill a batch, few enough that others get their turn.
_TEXTS_AT_ONCE = 32
_CHARACTERS_AT_ONCE = wire.MOST_REQUEST_BYTES // 8
_NOT_RUNNING = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.ENOTDIR)


class _BrokenError(Exception):
    """The connection ended where more was due."""


class ServiceProvider:
    """Embeds text by asking the embedder process.

    Args:
        path: of the socket.
        name: of the model that must be served.
        dimension: of its vectors.
        checksum: of the model, hexadecimal.
        max_windows: how many windows of a text longer than the model's are embedded.
        while_waiting: called several times a second while an answer is due; what it raises
            ends the call.
        timeout: seconds to wait for an answer.

    Raises:
        MissingFileError: no embedder listens there, or it serves another model.
        EmbedderConnectionError: it does not answer as an embedder does.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        dimension: int,
        checksum: str,
        max_windows: int = DEFAULT_MAX_WINDOWS,
        while_waiting: Callable[[], None] = lambda: None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._path = path
        self._expected = Greeting(Status.OK, name, dimension, checksum)
        self._max_windows = max_windows
        self._while_waiting = while_waiting
        self._timeout = timeout
        self._connection: _Connection | None = self._connect()

    @property
    def name(self) -> str:
        """The model's name."""
        return self._expected.name

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._expected.dimension

    def embed(self, text: str) -> NDArray[np.float32]:
        """Embed one text.

        Args:
            text: what to embed.

        Returns:
            The vector, shape [dimension], of unit L2 norm.

        Raises:
            InvalidArgumentError: the text has nothing to embed.
            MissingFileError: the embedder is not running, or serves another model.
            EmbedderConnectionError: the connection broke, or no answer came in time.
            EmbedderBusyError: too much is waiting already.
        """
        vector: NDArray[np.float32] = self._ask([text])[0]
        return vector

    def embed_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed several texts; the errors are those of `embed`.

        Args:
            texts: what to embed.

        Returns:
            The vectors, shape [len(texts), dimension], each of unit L2 norm.
        """
        cut = batch_parts(texts, most_texts=_TEXTS_AT_ONCE, most_characters=_CHARACTERS_AT_ONCE)
        parts = [self._ask(part) for part in cut]
        return np.concatenate(parts) if parts else np.empty((0, self.dimension), np.float32)

    def close(self) -> None:
        """End the connection; the next text opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, texts: Sequence[str]) -> NDArray[np.float32]:
        for text in texts:
            require_text(text)
        request = wire.pack_request(texts, self._max_windows)
        try:
            if self._connection is not None:
                try:
                    return self._exchange(self._connection, request, len(texts))
                except _BrokenError:
                    self.close()
            self._connection = self._connect()
            return self._exchange(self._connection, request, len(texts))
        except _BrokenError as error:
            self.close()
            raise _broken(self.name, str(error)) from error
        except MalformedFrameError as error:
            self.close()
            raise _malformed(self._path, error) from error
        except (InvalidArgumentError, EmbedderBusyError):
            # These were answers: the connection is as good as before.
            raise
        except BaseException:
            # A cancelled call leaves an answer on its way that is not for the next one.
            self.close()
            raise

    def _exchange(self, connection: _Connection, request: bytes, count: int) -> NDArray[np.float32]:
        deadline = time.monotonic() + self._timeout
        connection.send(request, deadline)
        due = 4 * count * self.dimension
        head = connection.receive(wire.REPLY.size, deadline)
        status, length = wire.reply_body_length(head, vectors_bytes=due)
        body = connection.receive(length, deadline)
        if status != Status.OK:
            raise _refusal(self.name, status, *wire.unpack_refusal(body))
        vectors = np.frombuffer(body, "<f4").reshape(count, self.dimension)
        if not np.isfinite(vectors).all():
            raise MalformedFrameError("a vector that is not finite")
        return vectors.astype(np.float32)

    def _connect(self) -> _Connection:
        connection, greeting = _connect(self._path, self.name, self._while_waiting, self._timeout)
        try:
            _require_same_model(self._path, greeting, self._expected)
        except BaseException:
            connection.close()
            raise
        return connection


def ask_greeting(
    path: Path,
    name: str,
    *,
    while_waiting: Callable[[], None] = lambda: None,
    timeout: float = TIMEOUT_SECONDS,
) -> Greeting:
    """Return what the embedder at a socket says of itself.

    Args:
        path: of the socket.
        name: of the model that should be served; for messages.
        while_waiting: as of `ServiceProvider`.
        timeout: as of `ServiceProvider`.

    Raises:
        MissingFileError: no embedder listens there.
        EmbedderConnectionError: it does not answer as an embedder does.
        EmbedderBusyError: it takes no more clients.
    """
    connection, greeting = _connect(path, name, while_waiting, timeout)
    connection.close()
    return greeting


def _connect(
    path: Path, name: str, while_waiting: Callable[[], None], timeout: float
) -> tuple[_Connection, Greeting]:
    deadline = time.monotonic() + timeout
    connection = _Connection(name, while_waiting)
    try:
        connection.open(path, deadline)
        greeting = connection.receive_greeting(deadline)
    except OSError as error:
        connection.close()
        raise _unreachable(path, name, error) from error
    except _BrokenError as error:
        connection.close()
        raise _broken(name, str(error)) from error
    except MalformedFrameError as error:
        connection.close()
        raise _malformed(path, error) from error
    except BaseException:
        connection.close()
        raise
    if greeting.status == Status.BUSY:
        connection.close()
        raise _refusal(name, Status.BUSY, "it takes no more clients", None)
    return connection, greeting


class _Connection:
    """A socket whose every wait is bounded, and lets a cancel through."""

    def __init__(self, name: str, while_waiting: Callable[[], None]) -> None:
        self._name = name
        self._while_waiting = while_waiting
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)

    def open(self, path: Path, deadline: float) -> None:
        with socket_address(path) as address:
            while True:
                try:
                    self._socket.connect(address)
                    return
                except BlockingIOError:
                    # Nobody has accepted those before us yet.
                    self._pause(deadline)

    def receive_greeting(self, deadline: float) -> Greeting:
        version = wire.unpack_preamble(self.receive(wire.PREAMBLE.size, deadline))
        if version != wire.VERSION:
            raise MalformedFrameError(
                f"it speaks version {version} of the protocol and {wire.VERSION} is needed"
            )
        fixed = self.receive(wire.GREETING.size, deadline)
        return wire.unpack_greeting(fixed, self.receive(wire.greeting_name_length(fixed), deadline))

    def send(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)
            except OSError as error:
                raise _BrokenError(str(error.strerror)) from error

    def receive(self, size: int, deadline: float) -> bytes:
        received = bytearray()
        while len(received) < size:
            try:
                chunk = self._socket.recv(min(size - len(received), _CHUNK_BYTES))
            except BlockingIOError:
                self._wait(select.POLLIN, deadline)
                continue
            except OSError as error:
                raise _BrokenError(str(error.strerror)) from error
            if not chunk:
                raise _BrokenError("it closed the connection")
            received += chunk
        return bytes(received)

    def close(self) -> None:
        self._socket.close()

    def _wait(self, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        while not poll.poll(1000.0 * _WAKE_SECONDS):
            self._check(deadline)

    def _pause(self, deadline: float) -> None:
        time.sleep(_WAKE_SECONDS)
        self._check(deadline)

    def _check(self, deadline: float) -> None:
        self._while_waiting()
        if time.monotonic() > deadline:
            raise EmbedderConnectionError(
                f'embedder of model "{self._name}" does not answer',
                detail="The time to wait for an answer is over.",
                hint="Look at what it logs; give it more threads if it has too much to do.",
            )


def require_named(path: Path, found: Greeting, name: str) -> None:
    """Refuse the embedder of another model.

    Raises:
        MissingFileError: it serves a model of another name.
    """
    if found.name != name:
        raise MissingFileError(
            f'embedder at {path} serves model "{found.name}" and not "{name}"',
            hint=start_hint(name),
        )


def _require_same_model(path: Path, found: Greeting, expected: Greeting) -> None:
    require_named(path, found, expected.name)
    if (found.checksum, found.dimension) != (expected.checksum, expected.dimension):
        raise MissingFileError(
            f'model "{expected.name}" of the embedder is not the one that this database uses',
            detail=f"Its checksum is {found.checksum}, not {expected.checksum}.",
            hint="Start the embedder with the model that was used; where another build is there "
            "on purpose, embed everything with it: "
            f"SELECT tiny_dancer.use_model('{expected.name}');",
        )


def start_hint(name: str) -> str:
    """Say how the embedder of a model is started."""
    return f"Run on this host: tiny-dancer embedder {name}"


def _unreachable(path: Path, name: str, error: OSError) -> MissingFileError:
    if error.errno in _NOT_RUNNING:
        message = f'embedder of model "{name}" is not running on this host'
        return MissingFileError(message, detail=f"Nobody listens on {path}.", hint=start_hint(name))
    return MissingFileError(
        f'embedder of model "{name}" cannot be reached ({error.strerror})',
        detail=f"Its socket is {path}.",
        hint="Let the group of the socket be one that the server's user belongs to "
        "(tiny-dancer embedder --group).",
    )


def _broken(name: str, what: str) -> EmbedderConnectionError:
    return EmbedderConnectionError(
        f'connection to the embedder of model "{name}" broke: {what}',
        hint=f"Try again. If it is gone: {start_hint(name)}",
    )


def _malformed(path: Path, error: MalformedFrameError) -> EmbedderConnectionError:
    return EmbedderConnectionError(
        f"what listens on {path} is not an embedder of this version: {error}",
        hint="Start the embedder of the version of tiny_dancer that this database uses.",
    )


def _refusal(
    name: str, status: Status, message: str, hint: str | None
) -> InvalidArgumentError | EmbedderBusyError | EmbedderConnectionError:
    if status == Status.INVALID_TEXT:
        return InvalidArgumentError(message, hint=hint)
    if status == Status.BUSY:
        return EmbedderBusyError(
            f'embedder of model "{name}" is busy: {message}',
            hint="Try again later; more --threads or a longer --queue let it take more.",
        )
    return EmbedderConnectionError(
        f'embedder of model "{name}" failed: {message}',
        hint="Look at what it logs.",
    )
