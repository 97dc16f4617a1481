"""What a decision from text costs in a backend, beside embedding alone; run by embedding.py --url.

The models are those of the server's own folder; a static one that it lacks is copied there. The
three loops take turns in the same backend, so that what disturbs one disturbs the others.
"""

from __future__ import annotations

import argparse
import grp
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg
from embedding_process import TEXT
from figures import Figure, note
from first_call import REQUEST, ROUTE_TEXT, first_call, median_of, register
from running_embedder import running_embedder
from scratch_database import new_database
from timing import MICROSECONDS, REQUEST_LOOP, Stopwatch, Timing, fetch_one
from tqdm import tqdm

from tiny_dancer.embedding.importing.staging import make_readable

# Calls of one loop, and rounds of the loops: short ones, so that the three meet the same machine.
CALLS = 25
ROUNDS = 25
CONNECTIONS = 7
# Microseconds of a decision from text with a static model; with others, more than embedding alone.
STATIC_TARGET = 170.0
MORE_TARGET = 110.0

# The model as a backend runs it, without a decision, a cast or a row around it.
EMBED_LOOP = """
CREATE FUNCTION loop_embed(calls integer, provider text, place text) RETURNS float8
LANGUAGE plpython3u AS $$
import time
from pathlib import Path
from tiny_dancer.embedding.hashing import HashingProvider
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.embedding.service import ServiceProvider, ask_greeting
if SD.get('place') != place:
    if provider == 'hashing':
        opened = HashingProvider(int(place))
    elif provider == 'service':
        served = ask_greeting(Path(place), Path(place).stem)
        opened = ServiceProvider(Path(place), name=served.name, dimension=served.dimension,
                                 checksum=served.checksum)
    else:
        opened = open_provider(Path(place))
    SD['place'], SD['embed'] = place, opened.embed
content = plpy.execute('SELECT content FROM request')[0]['content']
embed = SD['embed']
began = time.perf_counter()
for _ in range(calls):
    embed(content)
return (time.perf_counter() - began) * 1e6 / calls
$$;
"""
LOOPS = (
    "CREATE TABLE request (content text, embedding real[]);"
    + MICROSECONDS
    + REQUEST_LOOP.format("loop_text", "agent_name", "ruvector_route(given.content)")
    + REQUEST_LOOP.format(
        "loop_given", "agent_name", "ruvector_route(given.content, embedding := given.embedding)"
    )
    + EMBED_LOOP
)


def print_backends(arguments: argparse.Namespace, places: dict[str, str]) -> None:
    """Print what backends of a server pay, each provider in turn."""
    with new_database(arguments.url) as url, psycopg.connect(url, autocommit=True) as admin:
        prepare(admin)
        models = models_folder(admin)
        with placed(Path(places["static"]), models):
            print("\ninside backends, ten agents, a text of 13 tokens")
            print(
                f"{'':9}{'first':>9}{'private':>9}{'embedding':>11}{'decision':>10}"
                f"{'decision':>11}{'the same':>10}{'more than':>11}\n"
                f"{'':9}{'call ms':>9}{'MB':>9}{'alone us':>11}{'given it':>10}"
                f"{'from text':>11}{'on CPU':>10}{'embedding':>11}{'target':>12}"
            )
            for provider in ("hashing", "static", "onnx", "service"):
                print_provider(arguments, provider, places, url, models)
    print(
        "first call: a decision from text on a new connection; more than embedding: of a decision\n"
        "from text, median of the differences of loops that took turns, on the backend's CPU"
    )


def prepare(admin: psycopg.Connection[Any]) -> None:
    admin.execute("SET client_min_messages = warning")
    admin.execute("CREATE EXTENSION tiny_dancer CASCADE")
    admin.execute("SELECT tiny_dancer.use_model('hashing', 'hashing', 384)")
    admin.execute(LOOPS)
    register(admin, range(10))


def models_folder(admin: psycopg.Connection[Any]) -> Path:
    """Return the folder of the server's models."""
    folder = fetch_one(admin, "SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'")
    return Path(folder) / "tiny_dancer" / "models"


@contextmanager
def placed(model: Path, models: Path) -> Iterator[None]:
    """Copy a model to the server, unless it is there, and remove the copy afterwards."""
    target = models / model.name
    if target.exists():
        yield
        return
    with tempfile.TemporaryDirectory(prefix=".placing-", dir=models) as staging:
        copy = shutil.copytree(model, Path(staging) / model.name)
        make_readable(copy)
        copy.rename(target)
        try:
            yield
        finally:
            target.rename(copy)


def print_provider(
    arguments: argparse.Namespace, provider: str, places: dict[str, str], url: str, models: Path
) -> None:
    name = "hashing" if provider == "hashing" else Path(places.get(provider, "")).name
    place = {
        "hashing": places["hashing"],
        "service": str(models / f"{arguments.model}.sock"),
    }.get(provider, str(models / name))
    with served(arguments, url, models) if provider == "service" else nullcontext():
        with psycopg.connect(url, autocommit=True) as connection:
            use = "SELECT tiny_dancer.use_model(%s, provider := %s)"
            connection.execute(use, [name or arguments.model, provider])
            connection.execute("TRUNCATE request")
            insert = "INSERT INTO request SELECT %s, ruvector_embed(%s)::real[]"
            connection.execute(insert, [TEXT, TEXT])
        calls = [first_call(url, ROUTE_TEXT, (REQUEST,)) for _ in range(CONNECTIONS)]
        with psycopg.connect(url, autocommit=True) as connection:
            embedding, given, text, more = loops(connection, provider, place)
    note_decision(provider, embedding, given, text, more)
    shown_more = "unknown" if more is None else f"{more:.1f}"
    targets = {"static": f"{STATIC_TARGET:.0f} in all", "onnx": f"{MORE_TARGET:.0f} more"}
    print(
        f"{provider:9}{median_of([c.milliseconds for c in calls], 0):>9}"
        f"{median_of([c.megabytes for c in calls]):>9}{embedding.clock:>11.1f}{given.clock:>10.1f}"
        f"{text.clock:>11.1f}{text.shown_cpu:>10}{shown_more:>11}{targets.get(provider, ''):>12}"
    )


@contextmanager
def served(arguments: argparse.Namespace, url: str, models: Path) -> Iterator[None]:
    """Run an embedder where the server's databases look for it."""
    with psycopg.connect(url) as connection:
        data = Path(fetch_one(connection, "SHOW data_directory"))
    group = grp.getgrgid(data.stat().st_gid).gr_name
    threads = str(arguments.threads)
    with running_embedder(arguments.model, models, "--threads", threads, "--group", group):
        yield


def note_decision(
    provider: str, embedding: Timing, given: Timing, text: Timing, more: float | None
) -> None:
    """Hand over the figure that a target stands for."""
    if provider == "static":
        beside = f"embedding alone {embedding.clock:.1f} us; given the embedding {given.clock:.0f}"
        note(Figure("decision from text, static", text.clock, "us", STATIC_TARGET, beside=beside))
    if provider == "onnx" and more is not None:
        beside = f"embedding alone {embedding.clock:,.0f} us; given the embedding {given.clock:.0f}"
        note(Figure("decision from text beyond embedding", more, "us", MORE_TARGET, beside=beside))


def loops(
    connection: psycopg.Connection[Any], provider: str, place: str
) -> tuple[Timing, Timing, Timing, float | None]:
    """Time embedding, a decision given it, one from text; and the last without embedding."""
    calls = (
        ("SELECT loop_embed(%s, %s, %s)", (CALLS, provider, place)),
        ("SELECT loop_given(%s)", (CALLS,)),
        ("SELECT loop_text(%s)", (CALLS,)),
    )
    # The first decision boots the library, which the loop of embedding imports from.
    connection.execute(ROUTE_TEXT, (REQUEST,))
    rounds = [
        [timed(connection, *one) for one in calls]
        for _ in tqdm(range(1 + ROUNDS), desc=provider, leave=False, disable=None)
    ][1:]
    embedding, given, text = zip(*rounds, strict=True)
    pairs = zip(embedding, text, strict=True)
    known = [b.cpu - a.cpu for a, b in pairs if a.cpu is not None and b.cpu is not None]
    more = statistics.median(known) if known else None
    return median_timing(embedding), median_timing(given), median_timing(text), more


def timed(connection: psycopg.Connection[Any], query: str, parameters: tuple[Any, ...]) -> Timing:
    """Return the microseconds of one call in a loop that the server runs."""
    watch = Stopwatch(connection.info.backend_pid)
    row: Any = connection.execute(query, parameters).fetchone()
    spent = watch.milliseconds()
    return Timing(float(row[0]), None if spent is None else spent * 1000.0 / CALLS)


def median_timing(timings: Sequence[Timing]) -> Timing:
    known = [timing.cpu for timing in timings if timing.cpu is not None]
    clock = statistics.median(timing.clock for timing in timings)
    return Timing(clock, statistics.median(known) if known else None)
