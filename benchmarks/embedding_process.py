"""One of the processes that embedding.py measures; it loads nothing but what it measures.

It prints a line of JSON: seconds from its start to its first vector, private megabytes, and either
microseconds a text with the vectors of some probes, or those of every text that it embedded in
some seconds. Those begin when it is told so by a line, after it has said by one that it is ready.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Embed = Callable[[str], Floats]

# Eleven tokens and the two that a transformer adds.
TEXT = "Please book me a quiet table for two on Friday."
WARM_UP = 20


def main() -> None:
    """Embed and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("provider")
    parser.add_argument("place", help="folder, socket, dimension, or what the library takes")
    parser.add_argument("--model", required=True, help="name that an embedder must serve")
    parser.add_argument("--texts", type=int, help="time so many single texts")
    parser.add_argument("--seconds", type=float, help="embed for so long instead")
    arguments = parser.parse_args()
    embed = open_embed(arguments.provider, arguments.place, arguments.model)
    vector = embed(TEXT)
    found: dict[str, Any] = {"ready": seconds_alive(), "megabytes": private_megabytes()}
    found["dimension"] = len(vector)
    if arguments.seconds:
        print("ready", flush=True)
        sys.stdin.readline()
        found["times"], found["seconds"] = times_within(embed, arguments.seconds)
    else:
        found["microseconds"] = microseconds(embed, arguments.texts)
        found["vectors"] = [embed(text).tolist() for text in probes()]
    print(json.dumps(found))


def open_embed(provider: str, place: str, model: str) -> Embed:
    """Return the function that embeds one text."""
    if provider == "sentence-transformers":
        from sentence_transformers import SentenceTransformer

        reference = SentenceTransformer(place)
        return lambda text: np.asarray(reference.encode(text, normalize_embeddings=True))
    if provider == "hashing":
        from tiny_dancer.embedding.hashing import HashingProvider

        return HashingProvider(int(place)).embed
    if provider == "service":
        return open_service(Path(place), model)
    from tiny_dancer.embedding.provider import open_provider

    return open_provider(Path(place)).embed


def open_service(socket: Path, model: str) -> Embed:
    from tiny_dancer.embedding.service import ServiceProvider, ask_greeting

    served = ask_greeting(socket, model)
    provider = ServiceProvider(
        socket, name=served.name, dimension=served.dimension, checksum=served.checksum
    )
    return provider.embed


def probes() -> tuple[str, ...]:
    from tiny_dancer.embedding.importing.agreement import PROBES

    return PROBES


def microseconds(embed: Embed, texts: int) -> float:
    """Return the median of single calls."""
    for _ in range(WARM_UP):
        embed(TEXT)
    times = []
    for _ in range(texts):
        began = time.perf_counter()
        embed(TEXT)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def times_within(embed: Embed, seconds: float) -> tuple[list[float], float]:
    """Return the microseconds of each text, and the seconds that all took."""
    times = []
    began = now = time.perf_counter()
    while now - began < seconds:
        before = now
        embed(TEXT)
        now = time.perf_counter()
        times.append(round((now - before) * 1e6, 1))
    return times, now - began


def seconds_alive() -> float:
    """Return the seconds since this process started."""
    started = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - started / os.sysconf("SC_CLK_TCK")


def private_megabytes(pid: int | None = None) -> float:
    """Return the memory that a process, by default this one, shares with nobody."""
    lines = Path(f"/proc/{pid or 'self'}/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return (int(sizes["Private_Clean"]) + int(sizes["Private_Dirty"])) / 1024.0


if __name__ == "__main__":
    main()
