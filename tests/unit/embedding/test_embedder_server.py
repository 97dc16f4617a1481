"""The server with a made-up engine: many clients, a full queue, shutting down, and abuse."""

import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from running_server import (
    CHECKSUM,
    MadeUpEngine,
    raw_client,
    receive,
    receive_reply,
    running_server,
    vector_of,
)

from tiny_dancer.embedder.engine import Identity
from tiny_dancer.embedding import wire
from tiny_dancer.embedding.wire import Status
from tiny_dancer.errors import EmbedderBusyError, EmbedderConnectionError, InvalidArgumentError


def test_every_client_gets_its_own_vectors(path):
    engine = MadeUpEngine(concurrency=2)
    with running_server(path, engine, queue=10_000) as running:

        def ask(ordinal):
            client = running.client()
            for turn in range(20):
                texts = [f"{ordinal} {turn} {i}" for i in range(1 + turn % 5)]
                expected = np.stack([vector_of(text) for text in texts])
                np.testing.assert_array_equal(client.embed_batch(texts), expected)
            client.close()
            return ordinal

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(ask, range(16))) == list(range(16))
    assert running.batching.embedded == 16 * sum(1 + turn % 5 for turn in range(20))


def test_texts_that_wait_are_embedded_in_one_batch(path):
    engine = MadeUpEngine()
    engine.go_on.clear()
    with running_server(path, engine, max_batch=4) as running, ThreadPoolExecutor(8) as pool:
        first = pool.submit(running.client().embed, "first")
        engine.wait_until_busy()
        others = [pool.submit(running.client().embed, f"other {i}") for i in range(7)]
        wait_for(lambda: len(running.batching._waiting) == 7)
        engine.go_on.set()
        for i, other in enumerate(others):
            np.testing.assert_array_equal(other.result(), vector_of(f"other {i}"))
        first.result()
    assert [len(call) for call in engine.calls] == [1, 4, 3]


def test_an_engine_that_gains_nothing_gets_one_text_a_call(path):
    engine = MadeUpEngine(gains_from_batches=False)
    with running_server(path, engine) as running:
        running.client().embed_batch(["a", "b", "c"])
    assert engine.calls == [["a"], ["b"], ["c"]]


def test_texts_for_other_windows_are_not_in_the_same_batch(path):
    engine = MadeUpEngine()
    engine.go_on.clear()
    with running_server(path, engine) as running, ThreadPoolExecutor(3) as pool:
        first = pool.submit(running.client().embed, "first")
        engine.wait_until_busy()
        two = pool.submit(running.client(max_windows=2).embed, "text")
        wait_for(lambda: len(running.batching._waiting) == 1)
        three = pool.submit(running.client(max_windows=3).embed, "text")
        wait_for(lambda: len(running.batching._waiting) == 2)
        engine.go_on.set()
        np.testing.assert_array_equal(two.result(), vector_of("text", 2))
        np.testing.assert_array_equal(three.result(), vector_of("text", 3))
        first.result()
    assert engine.calls == [["first"], ["text"], ["text"]]


def test_a_full_queue_says_busy_and_the_client_may_come_again(path):
    engine = MadeUpEngine()
    engine.go_on.clear()
    with running_server(path, engine, queue=2) as running, ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(running.client().embed, "under way")]
        engine.wait_until_busy()
        waiting += [pool.submit(running.client().embed, f"waits {i}") for i in range(2)]
        wait_for(lambda: len(running.batching._waiting) == 2)
        client = running.client()
        with pytest.raises(EmbedderBusyError, match="2 texts are waiting") as caught:
            client.embed("too much")
        assert caught.value.sqlstate == "53000"
        assert "again later" in caught.value.hint
        engine.go_on.set()
        for future in waiting:
            future.result()
        np.testing.assert_array_equal(client.embed("too much"), vector_of("too much"))
    assert running.batching.refused == 1


def test_a_request_longer_than_the_queue_is_taken_when_nothing_waits(path):
    with running_server(path, queue=2) as running:
        assert running.client().embed_batch([str(i) for i in range(100)]).shape == (100, 6)


def test_a_bad_text_fails_alone(path):
    engine = MadeUpEngine()
    engine.go_on.clear()
    with running_server(path, engine) as running, ThreadPoolExecutor(3) as pool:
        first = pool.submit(running.client().embed, "first")
        engine.wait_until_busy()
        good = pool.submit(running.client().embed, "good")
        bad = pool.submit(running.client().embed, "no token")
        wait_for(lambda: len(running.batching._waiting) == 2)
        engine.go_on.set()
        np.testing.assert_array_equal(good.result(), vector_of("good"))
        with pytest.raises(InvalidArgumentError, match="has no token") as caught:
            bad.result()
        assert caught.value.hint == "Pass another."
        first.result()


def test_the_rest_of_a_request_that_failed_is_not_embedded(path):
    with running_server(path, MadeUpEngine(gains_from_batches=False)) as running:
        client = running.client()
        with pytest.raises(InvalidArgumentError, match="has no token"):
            client.embed_batch(["good", "no token", *["more"] * 20])
        np.testing.assert_array_equal(client.embed("next"), vector_of("next"))
        assert len(running.engine.calls) < 6


def test_a_failing_model_is_told_without_its_secrets_and_the_server_goes_on(path):
    with running_server(path) as running:
        client = running.client()
        with pytest.raises(EmbedderConnectionError, match="failed: RuntimeError") as caught:
            client.embed("broken model")
        assert "secret" not in str(caught.value)
        np.testing.assert_array_equal(client.embed("good"), vector_of("good"))


def test_texts_of_a_client_that_left_are_not_embedded(path):
    engine = MadeUpEngine()
    engine.go_on.clear()
    with running_server(path, engine, max_batch=1) as running, ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.client().embed, "first")
        engine.wait_until_busy()
        leaving = raw_client(path)
        leaving.sendall(wire.pack_request(["given up"] * 5, 4))
        wait_for(lambda: len(running.batching._waiting) == 5)
        leaving.close()
        wait_for(lambda: not running.batching._waiting)
        engine.go_on.set()
        first.result()
        np.testing.assert_array_equal(running.client().embed("next"), vector_of("next"))
    assert engine.calls == [["first"], ["next"]]


def test_stopping_answers_what_was_asked_and_lets_the_idle_go(path):
    engine = MadeUpEngine()
    engine.go_on.clear()
    with running_server(path, engine) as running, ThreadPoolExecutor(2) as pool:
        idle = raw_client(path)
        asked = [pool.submit(running.client().embed, text) for text in ("one", "two")]
        engine.wait_until_busy()
        wait_for(lambda: len(running.batching._waiting) == 1)
        running.stop()
        assert receive_reply(idle) is None
        assert running.thread.is_alive()
        engine.go_on.set()
        np.testing.assert_array_equal(asked[0].result(), vector_of("one"))
        np.testing.assert_array_equal(asked[1].result(), vector_of("two"))
        running.join()
        assert not path.exists()


def test_a_client_that_left_earlier_does_not_cut_the_answers_of_others_short(path):
    with running_server(path) as running:
        raw_client(path).close()
        wait_for(lambda: not running.server._clients)
        half = raw_client(path)
        request = wire.pack_request(["text"], 4)
        half.sendall(request[:-1])
        wait_for(lambda: all(client._received for client in running.server._clients))
        running.stop()
        time.sleep(0.05)
        half.sendall(request[-1:])
        status, body = receive_reply(half)
        assert status == Status.OK
        np.testing.assert_array_equal(np.frombuffer(body, "<f4"), vector_of("text"))


def test_stopping_hands_out_long_answers_to_their_end(path):
    with running_server(path, LongEngine()) as running:
        raw_client(path).close()
        slow = raw_client(path)
        slow.sendall(wire.pack_request(["text"] * wire.MOST_TEXTS, 4))
        wait_for(lambda: running.batching.embedded == wire.MOST_TEXTS)
        running.stop()
        time.sleep(0.05)
        status, body = receive_reply(slow)
        assert (status, len(body)) == (Status.OK, 4 * LongEngine.dimension * wire.MOST_TEXTS)


@pytest.mark.parametrize("texts", [28, 32, wire.MOST_TEXTS])
def test_an_answer_that_is_never_fetched_holds_the_end_up_for_so_long_only(path, texts):
    with running_server(path, LongEngine(), message_seconds=0.3) as running:
        greedy = raw_client(path)
        greedy.sendall(wire.pack_request(["text"] * texts, 4))
        wait_for(lambda: running.batching.embedded == texts)
        running.stop()
        running.thread.join(5.0)
        assert not running.thread.is_alive()


def test_whoever_asks_for_one_text_does_not_wait_for_all_of_a_long_request(path):
    engine = MadeUpEngine(gains_from_batches=False)
    engine.go_on.clear()
    with running_server(path, engine) as running, ThreadPoolExecutor(3) as pool:
        long = pool.submit(running.client().embed_batch, [f"long {i}" for i in range(5)])
        engine.wait_until_busy()
        other = pool.submit(running.client().embed_batch, ["other 0", "other 1"])
        wait_for(lambda: len(running.batching._waiting) == 6)
        short = pool.submit(running.client().embed, "short")
        wait_for(lambda: len(running.batching._waiting) == 7)
        engine.go_on.set()
        for future in (long, other, short):
            future.result()
    order = [text for call in engine.calls for text in call]
    assert order[:4] == ["long 0", "long 1", "other 0", "short"]
    assert order[4:] == ["long 2", "other 1", "long 3", "long 4"]


def test_a_message_that_is_never_finished_ends_the_connection(path):
    with running_server(path, message_seconds=0.2) as running:
        idle, slow = raw_client(path), raw_client(path)
        slow.sendall(wire.pack_request(["text"], 4)[:-1])
        assert receive_reply(slow) is None
        idle.sendall(wire.pack_request(["text"], 4))
        assert receive_reply(idle)[0] == Status.OK
        assert running.thread.is_alive()


def test_answers_that_are_never_fetched_end_the_connection(path):
    with running_server(path, message_seconds=0.2, queue=10**6) as running:
        greedy = raw_client(path)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            ask_without_fetching(greedy, 2000)
        np.testing.assert_array_equal(running.client().embed("text"), vector_of("text"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0" * 12,
        b"\x80\x04\x95" + b"x" * 100,
        struct.pack("<4sHHI", wire.REQUEST_MAGIC, 4, 1, 0xFFFF_FFFF),
        struct.pack("<4sHHI", wire.REQUEST_MAGIC, 4, 1, 8) + b"\xff\xff\xff\xff" + b"abcd",
        struct.pack("<4sHHI", wire.REQUEST_MAGIC, 4, 1, 5) + b"\1\0\0\0\xff",
        wire.pack_request(["a"], 4) * 2,
    ],
)
def test_garbage_is_told_so_and_disconnected(path, garbage):
    with running_server(path) as running:
        client = raw_client(path)
        client.sendall(garbage)
        status, message = receive_reply(client)
        assert status == Status.MALFORMED
        assert message
        assert receive(client, 1) == b""
        np.testing.assert_array_equal(running.client().embed("text"), vector_of("text"))


def test_a_request_in_single_bytes_is_understood(path):
    with running_server(path):
        client = raw_client(path)
        for byte in wire.pack_request(["text"], 4):
            client.sendall(bytes([byte]))
        status, body = receive_reply(client)
        assert status == Status.OK
        np.testing.assert_array_equal(np.frombuffer(body, "<f4"), vector_of("text"))


def test_empty_text_is_refused_by_the_server_too(path):
    with running_server(path) as running:
        client = raw_client(path)
        client.sendall(wire.pack_request(["good", " "], 4))
        status, body = receive_reply(client)
        assert status == Status.INVALID_TEXT
        assert b"empty" in body
        assert running.engine.calls == []


def test_more_clients_than_allowed_are_told_so(path):
    with running_server(path, most_clients=2) as running:
        clients = [running.client(), running.client()]
        with pytest.raises(EmbedderBusyError, match="no more clients"):
            running.client()
        clients[0].close()
        wait_for(lambda: running.client())
        np.testing.assert_array_equal(clients[1].embed("text"), vector_of("text"))


def test_only_the_group_may_connect(path):
    with running_server(path):
        assert path.stat().st_mode & 0o777 == 0o660


def test_hundreds_of_connections_that_come_and_go(path):
    with running_server(path) as running:

        def visit(ordinal):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(str(path))
            if ordinal % 3 == 0:
                connection.sendall(wire.pack_request(["text"], 4)[: ordinal % 17])
            connection.close()

        threads = [threading.Thread(target=visit, args=(i,)) for i in range(300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        np.testing.assert_array_equal(running.client().embed("text"), vector_of("text"))


class LongEngine(MadeUpEngine):
    """Its answers are longer than what a socket holds."""

    dimension = 2000

    def __init__(self):
        super().__init__()
        self.identity = Identity("made-up", self.dimension, CHECKSUM)

    def embed(self, texts, max_windows):
        return np.ones((len(texts), self.dimension), np.float32)


def ask_without_fetching(client, times):
    frame = wire.pack_request(["x"] * wire.MOST_TEXTS, 4)
    for _ in range(times):
        client.sendall(frame)
        time.sleep(0.005)


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except EmbedderBusyError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.005)
