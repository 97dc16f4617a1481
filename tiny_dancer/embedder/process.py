"""The life of an embedder process: claim the socket, load the model, serve, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tiny_dancer.embedder.batching import Batching
from tiny_dancer.embedder.engine import Engine
from tiny_dancer.embedder.server import EmbedderServer
from tiny_dancer.embedder.socket_claim import claim_socket

_STOPPED_TWICE = 1

log = logging.getLogger("tiny_dancer.embedder")


def serve_until_stopped(
    load: Callable[[], Engine],
    path: Path,
    looked_for: Path,
    *,
    group: str | None,
    max_batch: int,
    queue: int,
) -> None:
    """Serve a model until SIGTERM or SIGINT, then answer what was asked and remove the socket.

    A second signal ends the process at once. The log goes to stderr; one line on stdout says
    that clients may come.

    Args:
        load: loads the model.
        path: where to listen.
        looked_for: where databases look for the socket, for advice.
        group: whose members may connect; by default that of the process.
        max_batch: texts in one call of an engine that gains from batches.
        queue: texts that may wait.

    Raises:
        DuplicateObjectError: another embedder listens there.
        TinyDancerError: the model cannot be loaded, or the socket not be made.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    _allow_many_connections()
    # Until the server takes over: leave through the clean-up, as an interrupt does.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with claim_socket(path, group=group) as listening:
        began = time.monotonic()
        engine = load()
        log.info("loaded %s in %.1f s", engine.identity.name, time.monotonic() - began)
        _advise(path, looked_for)
        batching = Batching(engine, max_batch=max_batch, queue=queue)
        asyncio.run(_serve(engine, batching, listening, path))
        counts = batching.embedded, batching.refused
        log.info("stopped; embedded %d texts, refused %d requests", *counts)


async def _serve(engine: Engine, batching: Batching, listening: socket.socket, path: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop, number)
    identity = engine.identity
    print(
        f"ready: {identity.name}, {identity.dimension} dimensions, "
        f"checksum {identity.checksum[:12]}, on {path}",
        flush=True,
    )
    await EmbedderServer(identity, batching).serve(listening, stop)


def _stop(stop: asyncio.Event, number: int) -> None:
    name = signal.Signals(number).name
    if stop.is_set():
        log.warning("%s again: stopping at once", name)
        os._exit(_STOPPED_TWICE)
    log.info("%s: answering what was asked, then stopping", name)
    stop.set()


def _allow_many_connections() -> None:
    """Each connection is a descriptor, and the usual soft limit is about as many as clients."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _advise(path: Path, looked_for: Path) -> None:
    if not looked_for.exists() or not path.samefile(looked_for):
        log.warning(
            "databases look for the socket at %s; as a user who may write there: ln -s %s %s",
            looked_for,
            path.resolve(),
            looked_for,
        )
