"""The client: what it checks, what it survives, and how it says what is wrong."""

import os
import socket
import struct
import threading
import time

import numpy as np
import pytest
from running_server import (
    CHECKSUM,
    DIMENSION,
    PATIENCE,
    MadeUpEngine,
    running_server,
    vector_of,
)

from tiny_dancer.embedding import service, wire
from tiny_dancer.embedding.service import ServiceProvider, ask_greeting
from tiny_dancer.embedding.socket_address import socket_path
from tiny_dancer.embedding.wire import Greeting, Status
from tiny_dancer.errors import (
    EmbedderConnectionError,
    InvalidArgumentError,
    MissingFileError,
)

GREETING = wire.pack_greeting(Greeting(Status.OK, "made-up", DIMENSION, CHECKSUM))
VECTOR = vector_of("text").tobytes()


def open_client(path, **options):
    asked = {"name": "made-up", "dimension": DIMENSION, "checksum": CHECKSUM, **options}
    return ServiceProvider(path, **asked)


@pytest.fixture
def impostor(path):
    """Listens, and says to one client after the other what it is told; returns how to tell it."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen()
    threads = []

    def say(*scripts):
        """Each script is for one client: bytes to send, None to wait for a request."""

        def run():
            for script in scripts:
                client, _ = listening.accept()
                with client:
                    client.settimeout(PATIENCE)
                    for part in script:
                        if part is None:
                            client.recv(1 << 16)
                        else:
                            client.sendall(part)

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)

    yield say
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    listening.close()


def test_the_vectors_are_those_of_the_engine(path):
    with running_server(path) as running:
        client = running.client()
        assert (client.name, client.dimension) == ("made-up", DIMENSION)
        vector = client.embed("text")
        assert vector.dtype == np.float32
        np.testing.assert_array_equal(vector, vector_of("text"))
        vector += 1.0
        assert client.embed_batch([]).shape == (0, DIMENSION)


def test_large_batches_go_in_several_requests(path):
    texts = [f"{i} " + "x" * (i % 7) * 200_000 for i in range(70)]
    with running_server(path, max_batch=100) as running:
        vectors = running.client().embed_batch(texts)
    np.testing.assert_array_equal(vectors, np.stack([vector_of(text) for text in texts]))


def test_nobody_listens(path):
    with pytest.raises(MissingFileError, match='embedder of model "made-up" is not running') as e:
        open_client(path)
    assert e.value.hint == "Run on this host: tiny-dancer embedder made-up"
    assert str(path) in e.value.detail


def test_a_socket_that_was_left_behind(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with pytest.raises(MissingFileError, match="is not running"):
        open_client(path)


def test_a_file_that_is_no_socket(path):
    path.write_text("hello")
    with pytest.raises(MissingFileError, match="is not running"):
        open_client(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open any socket")
def test_a_socket_of_another_group(path):
    with running_server(path):
        path.chmod(0)
        with pytest.raises(MissingFileError, match="cannot be reached") as caught:
            open_client(path)
        assert "--group" in caught.value.hint


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"name": "other"}, 'serves model "made-up" and not "other"'),
        ({"checksum": "cd" * 32}, "is not the one that this database uses"),
        ({"dimension": 7}, "is not the one that this database uses"),
    ],
)
def test_an_embedder_of_another_model(path, asked, message):
    with running_server(path), pytest.raises(MissingFileError, match=message) as caught:
        open_client(path, **asked)
    assert caught.value.sqlstate == "58P01"
    assert caught.value.hint


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH\r\n" + b"x" * 100,
        b"\0" * 200,
        struct.pack("<4sH", wire.GREETING_MAGIC, 99) + b"x" * 100,
        GREETING[:6] + struct.pack("<BI32sH", 0, 4_000_000_000, b"", 7) + b"made-up",
        GREETING[:6] + struct.pack("<BI32sH", 0, 6, b"", 60_000) + b"x" * 60_000,
        GREETING[:6] + struct.pack("<BI32sH", 0, 6, b"", 2) + b"\xff\xff",
    ],
    ids=["ssh", "zeros", "version", "dimension", "name length", "name"],
)
def test_whoever_does_not_greet_as_an_embedder(path, impostor, said):
    impostor([said])
    with pytest.raises(EmbedderConnectionError, match="is not an embedder of this version") as e:
        open_client(path)
    assert e.value.sqlstate == "08006"
    assert "version" in e.value.hint


def test_a_greeting_that_is_cut_short(path, impostor):
    impostor([GREETING[:-1]])
    with pytest.raises(EmbedderConnectionError, match="broke: it closed the connection"):
        open_client(path)


@pytest.mark.parametrize(
    "said",
    [
        struct.pack("<BI", 0, len(VECTOR) - 4) + VECTOR[:-4],
        struct.pack("<BI", 0, 0xFFFF_FFFF),
        struct.pack("<BI", 77, 4),
        struct.pack("<BI", 2, 0xFFFF_FFFF),
        struct.pack("<BI", 0, len(VECTOR)) + np.full(DIMENSION, np.nan, "<f4").tobytes(),
    ],
    ids=["too short", "huge", "status", "huge message", "nan"],
)
def test_a_reply_that_can_not_be_right(path, impostor, said):
    impostor([GREETING, None, said])
    client = open_client(path)
    with pytest.raises(EmbedderConnectionError, match="is not an embedder of this version"):
        client.embed("text")


def test_a_reply_that_is_cut_short_is_asked_for_once_more(path, impostor):
    whole = struct.pack("<BI", 0, len(VECTOR)) + VECTOR
    impostor([GREETING, None, whole[:-3]], [GREETING, None, whole])
    np.testing.assert_array_equal(open_client(path).embed("text"), vector_of("text"))


def test_a_connection_that_breaks_again_is_given_up(path, impostor):
    impostor([GREETING, None], [GREETING, None])
    client = open_client(path)
    with pytest.raises(EmbedderConnectionError, match="broke") as caught:
        client.embed("text")
    assert caught.value.sqlstate == "08006"
    assert "Try again" in caught.value.hint


def test_a_restarted_embedder_is_found_again(path):
    with running_server(path) as running:
        client = running.client()
        client.embed("text")
    with pytest.raises(MissingFileError, match="is not running"):
        client.embed("text")
    with running_server(path):
        np.testing.assert_array_equal(client.embed("text"), vector_of("text"))
    with running_server(path):
        np.testing.assert_array_equal(client.embed("text"), vector_of("text"))


def test_an_embedder_restarted_with_another_model_is_refused(path):
    with running_server(path) as running:
        client = running.client()
    with (
        running_server(path, MadeUpEngine(checksum="ee" * 32)),
        pytest.raises(MissingFileError, match="is not the one"),
    ):
        client.embed("text")


def test_the_time_to_wait_is_bounded(path):
    engine = MadeUpEngine()
    engine.go_on.clear()
    with running_server(path, engine) as running:
        client = running.client(timeout=0.2)
        began = time.monotonic()
        with pytest.raises(EmbedderConnectionError, match="does not answer"):
            client.embed("text")
        assert time.monotonic() - began < 5
        engine.go_on.set()
        np.testing.assert_array_equal(client.embed("other"), vector_of("other"))


def test_one_that_accepts_and_never_greets(path, socket_folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(str(path))
        mute.listen()
        with pytest.raises(EmbedderConnectionError, match="does not answer"):
            open_client(path, timeout=0.2)


def test_a_full_backlog_is_waited_for_and_not_for_ever(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(str(path))
        mute.listen(0)
        filling = []
        for _ in range(3):
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            one.setblocking(False)
            one.connect_ex(str(path))
            filling.append(one)
        with pytest.raises(EmbedderConnectionError, match="does not answer"):
            open_client(path, timeout=0.2)
        for one in filling:
            one.close()


class CancelledError(Exception):
    pass


def test_a_cancel_comes_through_and_the_late_answer_is_not_taken_for_another(path):
    engine = MadeUpEngine()
    engine.go_on.clear()
    alive = []

    def check():
        alive.append(time.monotonic())
        if len(alive) == 3:
            raise CancelledError

    with running_server(path, engine) as running:
        client = running.client(while_waiting=check)
        began = time.monotonic()
        with pytest.raises(CancelledError):
            client.embed("cancelled")
        assert time.monotonic() - began < 5
        engine.go_on.set()
        np.testing.assert_array_equal(client.embed("next"), vector_of("next"))


@pytest.mark.parametrize("text", ["", " \n", "a\ud800"])
def test_bad_text_is_refused_before_it_is_sent(path, text):
    with running_server(path) as running:
        client = running.client()
        with pytest.raises(InvalidArgumentError):
            client.embed(text)
        np.testing.assert_array_equal(client.embed("text"), vector_of("text"))
        assert running.engine.calls == [["text"]]


def test_the_greeting_can_be_asked_for(path):
    with running_server(path):
        assert ask_greeting(path, "made-up") == Greeting(Status.OK, "made-up", DIMENSION, CHECKSUM)


def test_a_path_longer_than_a_socket_address(socket_folder):
    deep = socket_folder / ("x" * 120)
    deep.mkdir()
    path = socket_path(deep, "made-up")
    with running_server(path) as running:
        np.testing.assert_array_equal(running.client().embed("text"), vector_of("text"))
    assert not path.exists()


def test_a_link_leads_to_the_socket(path, socket_folder):
    link = socket_folder / "link.sock"
    link.symlink_to(path)
    with running_server(path):
        np.testing.assert_array_equal(open_client(link).embed("text"), vector_of("text"))


@pytest.mark.parametrize("name", ["../etc", "", "a/b", "x" * 101])
def test_the_path_is_made_of_a_valid_name_only(socket_folder, name):
    with pytest.raises(InvalidArgumentError):
        socket_path(socket_folder, name)


def test_no_pickle_and_nothing_heavy_is_imported_by_the_client():
    assert not {"pickle", "asyncio"} & set(vars(service))
