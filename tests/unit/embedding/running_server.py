"""A server in a thread, with an engine that is made up."""

import asyncio
import socket
import threading
import zlib
from contextlib import contextmanager

import numpy as np

from tiny_dancer.embedder.batching import Batching
from tiny_dancer.embedder.engine import Identity
from tiny_dancer.embedder.server import EmbedderServer
from tiny_dancer.embedder.socket_claim import claim_socket
from tiny_dancer.embedding import wire
from tiny_dancer.embedding.service import ServiceProvider
from tiny_dancer.errors import InvalidArgumentError

DIMENSION = 6
CHECKSUM = "ab" * 32
PATIENCE = 20.0


def vector_of(text, max_windows=4):
    random = np.random.default_rng([zlib.crc32(text.encode()), max_windows])
    vector = random.standard_normal(DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class MadeUpEngine:
    """Embeds by a checksum; waits while it is told to; knows two texts that go wrong."""

    def __init__(self, *, concurrency=1, gains_from_batches=True, checksum=CHECKSUM):
        self.identity = Identity("made-up", DIMENSION, checksum)
        self.concurrency = concurrency
        self.gains_from_batches = gains_from_batches
        self.calls = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Semaphore(0)

    def embed(self, texts, max_windows):
        self.calls.append(list(texts))
        self.entered.release()
        assert self.go_on.wait(PATIENCE)
        if "no token" in texts:
            raise InvalidArgumentError("text to embed has no token", hint="Pass another.")
        if "broken model" in texts:
            raise RuntimeError("secret of the process")
        return np.stack([vector_of(text, max_windows) for text in texts])

    def wait_until_busy(self):
        assert self.entered.acquire(timeout=PATIENCE)


class Running:
    def __init__(self, path, engine, batching, server, loop, stop, thread):
        self.path = path
        self.engine = engine
        self.batching = batching
        self.server = server
        self.thread = thread
        self._loop = loop
        self._stop = stop
        self._asked_to_stop = False

    def client(self, **options):
        asked = {"name": "made-up", "dimension": DIMENSION, "checksum": CHECKSUM, **options}
        return ServiceProvider(self.path, **asked)

    def stop(self):
        # Asked again it may have ended between any look at the thread and the call.
        if not self._asked_to_stop:
            self._asked_to_stop = True
            self._loop.call_soon_threadsafe(self._stop.set)

    def join(self):
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@contextmanager
def running_server(path, engine=None, *, max_batch=8, queue=64, **options):
    engine = engine or MadeUpEngine()
    batching = Batching(engine, max_batch=max_batch, queue=queue)
    started = threading.Event()
    shared = {}

    async def serve(listening):
        shared["loop"], shared["stop"] = asyncio.get_running_loop(), asyncio.Event()
        shared["server"] = server = EmbedderServer(engine.identity, batching, **options)
        started.set()
        await server.serve(listening, shared["stop"])

    def run():
        with claim_socket(path) as listening:
            asyncio.run(serve(listening))

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(PATIENCE)
    running = Running(path, engine, batching, thread=thread, **shared)
    try:
        yield running
    finally:
        engine.go_on.set()
        if thread.is_alive():
            running.stop()
        running.join()


def raw_client(path):
    """A socket that has been greeted."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(PATIENCE)
    client.connect(str(path))
    size = wire.PREAMBLE.size + wire.GREETING.size + len("made-up")
    assert len(receive(client, size)) == size
    return client


def receive(client, size):
    received = b""
    while len(received) < size:
        chunk = client.recv(size - len(received))
        if not chunk:
            break
        received += chunk
    return received


def receive_reply(client):
    """Status and body of a reply; None where the connection ends."""
    head = receive(client, wire.REPLY.size)
    if len(head) < wire.REPLY.size:
        return None
    status, length = wire.REPLY.unpack(head)
    return wire.Status(status), receive(client, length)
