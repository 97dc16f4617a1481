"""The frames: whole ones come back as they were, everything else is refused by its lengths."""

import random
import struct

import pytest

from tiny_dancer.embedding import wire
from tiny_dancer.embedding.wire import Greeting, MalformedFrameError, Status
from tiny_dancer.errors import InvalidArgumentError

TEXTS = ["a", "Grüße 😀", "x" * 10_000, "\0"]


def unpack(frame):
    head, body = frame[: wire.REQUEST.size], frame[wire.REQUEST.size :]
    assert wire.request_body_length(head) == len(body)
    return wire.unpack_request(head, body)


def test_a_request_comes_back_as_it_was():
    request = unpack(wire.pack_request(TEXTS, 3))
    assert (request.texts, request.max_windows) == (tuple(TEXTS), 3)


def test_a_greeting_comes_back_as_it_was():
    greeting = Greeting(Status.OK, "some-model", 384, "0f" * 32)
    frame = wire.pack_greeting(greeting)
    preamble, rest = frame[: wire.PREAMBLE.size], frame[wire.PREAMBLE.size :]
    fixed, name = rest[: wire.GREETING.size], rest[wire.GREETING.size :]
    assert wire.unpack_preamble(preamble) == wire.VERSION
    assert wire.greeting_name_length(fixed) == len(name)
    assert wire.unpack_greeting(fixed, name) == greeting


def test_a_refusal_comes_back_in_one_line_each():
    frame = wire.pack_refusal(Status.BUSY, "too\nmuch", "Come again\nlater.")
    status, length = wire.reply_body_length(frame[: wire.REPLY.size], vectors_bytes=4)
    body = frame[wire.REPLY.size :]
    assert (status, length) == (Status.BUSY, len(body))
    assert wire.unpack_refusal(body) == ("too much", "Come again later.")


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("<4sHHI", b"GET ", 4, 1, 5),
        struct.pack("<4sHHI", wire.REQUEST_MAGIC, 0, 1, 5),
        struct.pack("<4sHHI", wire.REQUEST_MAGIC, wire.MOST_WINDOWS + 1, 1, 5),
        struct.pack("<4sHHI", wire.REQUEST_MAGIC, 4, 0, 5),
        struct.pack("<4sHHI", wire.REQUEST_MAGIC, 4, wire.MOST_TEXTS + 1, 5),
        struct.pack("<4sHHI", wire.REQUEST_MAGIC, 4, 1, wire.MOST_REQUEST_BYTES + 1),
        struct.pack("<4sHHI", wire.REQUEST_MAGIC, 4, 1, 0xFFFF_FFFF),
    ],
)
def test_a_head_out_of_bounds_is_refused(head):
    with pytest.raises(MalformedFrameError):
        wire.request_body_length(head)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\1\0\0",
        struct.pack("<I", 2) + b"a",
        struct.pack("<I", 0xFFFF_FFFF) + b"a",
        struct.pack("<I", 1) + b"ab",
        struct.pack("<I", 1) + b"\xff",
    ],
)
def test_a_body_whose_lengths_do_not_add_up_is_refused(body):
    head = struct.pack("<4sHHI", wire.REQUEST_MAGIC, 4, 1, len(body))
    with pytest.raises(MalformedFrameError):
        wire.unpack_request(head, body)


def test_garbage_never_does_anything_but_be_refused():
    choice = random.Random(7)
    whole = wire.pack_request(TEXTS[:2], 4)
    for _ in range(3000):
        frame = bytearray(whole)
        for _ in range(choice.randint(1, 4)):
            frame[choice.randrange(len(frame))] = choice.randrange(256)
        head, body = bytes(frame[: wire.REQUEST.size]), bytes(frame[wire.REQUEST.size :])
        try:
            wire.request_body_length(head)
            request = wire.unpack_request(head, body)
        except MalformedFrameError:
            continue
        assert all(isinstance(text, str) for text in request.texts)


@pytest.mark.parametrize(
    ("status", "length"), [(0, 7), (0, 0), (9, 0), (2, wire.MOST_MESSAGE_BYTES + 1)]
)
def test_a_reply_of_a_wrong_length_is_refused(status, length):
    with pytest.raises(MalformedFrameError):
        wire.reply_body_length(struct.pack("<BI", status, length), vectors_bytes=8)


@pytest.mark.parametrize(
    "fixed",
    [
        struct.pack("<BI32sH", 0, 0, b"", 3),
        struct.pack("<BI32sH", 0, 16_001, b"", 3),
        struct.pack("<BI32sH", 0, 8, b"", 0),
        struct.pack("<BI32sH", 0, 8, b"", 60_000),
        struct.pack("<BI32sH", 3, 8, b"", 3),
    ],
)
def test_a_greeting_out_of_bounds_is_refused(fixed):
    with pytest.raises(MalformedFrameError):
        wire.greeting_name_length(fixed)


def test_what_can_not_be_sent_is_an_error_of_the_argument():
    with pytest.raises(InvalidArgumentError, match="not valid Unicode"):
        wire.pack_request(["a\ud800"], 4)
    with pytest.raises(InvalidArgumentError, match="bytes and the embedder takes"):
        wire.pack_request(["x" * (wire.MOST_REQUEST_BYTES + 1)], 4)
