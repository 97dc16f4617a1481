"""Run every benchmark and write what they print into benchmarks/results.md.

    make bench

Each is a script of its own that can be run alone; what it measures and how is said at its head.
They run one after another, so that none disturbs another.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
PEER = CHECKOUT / ".dev" / "peer"
# Beside others it is a peer: its dependencies are not installed, see peer_requirements.txt.
PEER_PACKAGE = "semantic-router==1.1.1"


class Benchmark(NamedTuple):
    """One section of the results: its title, and the script with its arguments."""

    title: str
    command: tuple[str, ...]


def benchmarks(url: str, peer: str | None) -> list[Benchmark]:
    """Return what is run, in order."""
    server = ("--url", url)
    beside = () if peer is None else ("--peer", peer)
    return [
        Benchmark("A new connection", ("first_call.py", *server)),
        Benchmark("The parts of a decision, without a server", ("core.py",)),
        Benchmark(
            "Whole decisions and batches",
            ("decisions.py", *server, "--chart", str(HERE / "decisions.png")),
        ),
        Benchmark("Where the time of a decision goes", ("decision_parts.py", *server)),
        Benchmark(
            "Semantic routes",
            ("semantic_routes.py", *server, *beside, "--routes", "100", "1000", "10000", "100000"),
        ),
        Benchmark("Recording usage", ("record_usage.py", *server)),
        Benchmark("Analytics", ("analytics.py", *server)),
        Benchmark("Embedding", ("embedding.py", *server)),
    ]


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True, help="of the server; its role a superuser")
    parser.add_argument("--only", nargs="*", help="scripts to run, by the beginning of their name")
    parser.add_argument("--skip", nargs="*", default=[], help="scripts to leave out, likewise")
    parser.add_argument("--without-peer", action="store_true", help="do not install the peer")
    options = parser.parse_args()
    peer = None if options.without_peer else str(installed_peer())
    sections = []
    for chosen in benchmarks(options.url, peer):
        script = chosen.command[0]
        if options.only and not script.startswith(tuple(options.only)):
            continue
        if script.startswith(tuple(options.skip)):
            sections.append(f"## {chosen.title}\n\n`{script}` was left out of this run.\n")
            continue
        output = run(chosen)
        sections.append(f"## {chosen.title}\n\n`{shown(chosen)}`\n\n```text\n{output}```\n")
    if options.only:
        return
    (HERE / "results.md").write_text("\n".join([heading(), *sections]), encoding="utf-8")
    print(f"written: {HERE.name}/results.md")


def installed_peer() -> Path:
    """Return the interpreter of the peer's environment, made on the first run."""
    python = PEER / "bin" / "python"
    if not (PEER / "complete").exists():
        print(f"==> installing {PEER_PACKAGE} into an environment of its own")
        venv.create(PEER, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        requirements = str(HERE / "peer_requirements.txt")
        subprocess.run([*pip, "--no-deps", PEER_PACKAGE], check=True)
        subprocess.run([*pip, "-r", requirements], check=True)
        (PEER / "complete").touch()
    return python


def run(benchmark: Benchmark) -> str:
    """Run a benchmark, show what it prints as it comes, and return it."""
    script, *arguments = benchmark.command
    print(f"\n==> {benchmark.title}: {script}", flush=True)
    began, lines = time.monotonic(), []
    with subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.rstrip() + "\n")
    if process.returncode:
        raise SystemExit(f"{script} failed with status {process.returncode}")
    print(f"    ({time.monotonic() - began:.0f} s)")
    return "".join(lines)


def shown(benchmark: Benchmark) -> str:
    """Return the command as somebody else would type it: no address or folder of this machine."""
    script, *arguments = benchmark.command
    words = [f"benchmarks/{script}"]
    for word in arguments:
        if word.startswith("postgresql://"):
            words.append("URL")
        elif word.startswith(str(CHECKOUT)):
            words.append(str(Path(word).relative_to(CHECKOUT)))
        else:
            words.append(word)
    return " ".join(words)


def heading() -> str:
    """Return the head of the results: when, and on what machine."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return (
        "# Benchmark results\n\n"
        f"Written by `make bench` on {datetime.datetime.now(tz=datetime.UTC).date()}: {system}, "
        f"{cores} cores, Python {platform.python_version()}, load average at the end {load:.1f}.\n"
        "Figures are of this machine; the ratios beside them carry further.\n\n"
        "![Time of a decision by number of agents](decisions.png)\n"
    )


if __name__ == "__main__":
    main()
