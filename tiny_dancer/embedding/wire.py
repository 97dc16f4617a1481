"""What a backend and the embedder process say to each other: lengths, then raw bytes.

::

    embedder on accepting   magic, version, status, dimension, checksum, length of name | name
    client                  magic, max_windows, number of texts, length of body | body
                            body: for each text its length and its UTF-8
    embedder                status, length of body | body
                            body: float32 of all vectors, or message and hint in two lines

All numbers are little-endian. Magic and version keep their place in every version, so two that
do not match find out. A client has one request under way at a time. Every length is checked
against a bound before anything is allocated for it, and nothing is ever unpickled.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from tiny_dancer.errors import InvalidArgumentError

VERSION = 1
GREETING_MAGIC = b"tdem"
REQUEST_MAGIC = b"tdrq"

PREAMBLE = struct.Struct("<4sH")
GREETING = struct.Struct("<BI32sH")
REQUEST = struct.Struct("<4sHHI")
REPLY = struct.Struct("<BI")
_LENGTH = struct.Struct("<I")

MOST_TEXTS = 256
MOST_WINDOWS = 64
MOST_REQUEST_BYTES = 16 << 20
MOST_DIMENSION = 16_000
MOST_NAME_BYTES = 100
MOST_MESSAGE_BYTES = 64 << 10
_CHECKSUM_BYTES = 32


class Status(IntEnum):
    """How the embedder answers."""

    OK = 0
    BUSY = 1
    INVALID_TEXT = 2
    FAILED = 3
    MALFORMED = 4


class MalformedFrameError(Exception):
    """The other side does not keep to the protocol; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What an embedder says of itself.

    Attributes:
        status: ``OK``, or ``BUSY`` where it takes no more clients.
        name: of its model.
        dimension: of its vectors.
        checksum: of what decides the vectors, hexadecimal.
    """

    status: Status
    name: str
    dimension: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Request:
    """Texts to embed.

    Attributes:
        texts: at least one.
        max_windows: how many windows of a long text are embedded.
    """

    texts: tuple[str, ...]
    max_windows: int


def pack_greeting(greeting: Greeting) -> bytes:
    """Return a greeting as it is sent."""
    name = greeting.name.encode()
    checksum = bytes.fromhex(greeting.checksum)
    fixed = GREETING.pack(greeting.status, greeting.dimension, checksum, len(name))
    return PREAMBLE.pack(GREETING_MAGIC, VERSION) + fixed + name


def unpack_preamble(head: bytes) -> int:
    """Return the protocol version of whoever greets.

    Raises:
        MalformedFrameError: it is no embedder.
    """
    magic, version = PREAMBLE.unpack(head)
    if magic != GREETING_MAGIC:
        raise MalformedFrameError("it does not greet as an embedder does")
    return int(version)


def greeting_name_length(fixed: bytes) -> int:
    """Return how long the name is that follows the fixed part of a greeting.

    Raises:
        MalformedFrameError: a number is out of bounds.
    """
    status, dimension, _, length = GREETING.unpack(fixed)
    _require(status in (Status.OK, Status.BUSY), f"a greeting of status {status}")
    _require(1 <= dimension <= MOST_DIMENSION, f"a dimension of {dimension}")
    _require(1 <= length <= MOST_NAME_BYTES, f"a name of {length} bytes")
    return int(length)


def unpack_greeting(fixed: bytes, name: bytes) -> Greeting:
    """Return the greeting of its fixed part, checked by `greeting_name_length`, and its name.

    Raises:
        MalformedFrameError: the name is not text.
    """
    status, dimension, checksum, _ = GREETING.unpack(fixed)
    return Greeting(Status(status), _text(name), dimension, checksum.hex())


def pack_request(texts: Sequence[str], max_windows: int) -> bytes:
    """Return a request as it is sent.

    Args:
        texts: at most `MOST_TEXTS`, of at most `MOST_REQUEST_BYTES` together.
        max_windows: how many windows of a long text are embedded.

    Raises:
        InvalidArgumentError: a text is too long, or holds half a surrogate pair.
    """
    parts: list[bytes] = []
    for text in texts:
        encoded = _encoded(text)
        parts += (_LENGTH.pack(len(encoded)), encoded)
    body = b"".join(parts)
    if len(body) > MOST_REQUEST_BYTES:
        raise InvalidArgumentError(
            f"text to embed has {len(body)} bytes and the embedder takes {MOST_REQUEST_BYTES}",
            hint="Pass a shorter text.",
        )
    return REQUEST.pack(REQUEST_MAGIC, max_windows, len(texts), len(body)) + body


def request_body_length(head: bytes) -> int:
    """Return how long the body of a request is.

    Raises:
        MalformedFrameError: it is no request, or a number is out of bounds.
    """
    magic, max_windows, count, length = REQUEST.unpack(head)
    _require(magic == REQUEST_MAGIC, "what came is no request")
    _require(1 <= max_windows <= MOST_WINDOWS, f"a request for {max_windows} windows")
    _require(1 <= count <= MOST_TEXTS, f"a request of {count} texts")
    _require(length <= MOST_REQUEST_BYTES, f"a request of {length} bytes")
    return int(length)


def unpack_request(head: bytes, body: bytes) -> Request:
    """Return the request of a head, checked by `request_body_length`, and its body.

    Raises:
        MalformedFrameError: the lengths within do not add up, or a text is not UTF-8.
    """
    _, max_windows, count, _ = REQUEST.unpack(head)
    texts = []
    start = 0
    for _ in range(count):
        end = start + _LENGTH.size
        _require(end <= len(body), "a request that is cut short")
        start, length = end, _LENGTH.unpack_from(body, start)[0]
        _require(start + length <= len(body), "a request that is cut short")
        texts.append(_text(body[start : start + length]))
        start += length
    _require(start == len(body), "a request with bytes left over")
    return Request(tuple(texts), max_windows)


def pack_reply(status: Status, body: bytes) -> bytes:
    """Return a reply as it is sent."""
    return REPLY.pack(status, len(body)) + body


def pack_refusal(status: Status, message: str, hint: str | None = None) -> bytes:
    """Return a reply that says what is wrong."""
    lines = f"{' '.join(message.split())}\n{' '.join((hint or '').split())}"
    return pack_reply(status, lines.encode("utf-8", "replace")[:MOST_MESSAGE_BYTES])


def reply_body_length(head: bytes, *, vectors_bytes: int) -> tuple[Status, int]:
    """Return the status of a reply and how long its body is.

    Args:
        head: the fixed part.
        vectors_bytes: what the vectors that were asked for take.

    Raises:
        MalformedFrameError: the status is unknown or the length cannot be right.
    """
    status, length = REPLY.unpack(head)
    _require(status in set(Status), f"a reply of status {status}")
    if status == Status.OK:
        _require(length == vectors_bytes, f"{length} bytes where {vectors_bytes} were due")
    _require(length <= max(vectors_bytes, MOST_MESSAGE_BYTES), f"a reply of {length} bytes")
    return Status(status), int(length)


def unpack_refusal(body: bytes) -> tuple[str, str | None]:
    """Return message and hint of a reply that says what is wrong."""
    message, _, hint = body.decode("utf-8", "replace").partition("\n")
    return message, hint or None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"text to embed is not valid Unicode at character {error.start}",
            hint="Pass text without lone surrogates.",
        ) from error


def _text(encoded: bytes) -> str:
    try:
        return encoded.decode()
    except UnicodeDecodeError as error:
        raise MalformedFrameError("a text that is not UTF-8") from error


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise MalformedFrameError(otherwise)
