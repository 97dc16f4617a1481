"""Run every benchmark and write what they print into benchmarks/results.md.

    make bench

Each is a script of its own that can be run alone; what it measures and how is said at its head.
They run one after another, so that none disturbs another. With --only or --skip the sections of the
others stay as an earlier run wrote them; each section says when it was run.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from figures import SHEET, Figure, noted, table

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
RESULTS = HERE / "results.md"
FIGURES = HERE / "figures.json"
PEER = CHECKOUT / ".dev" / "peer"
# Beside others it is a peer: its dependencies are not installed, see peer_requirements.txt.
PEER_PACKAGE = "semantic-router==1.1.1"


HEADING = """# Benchmark results

Written by `make bench`. Figures are medians of one machine; the ratios beside them carry further.
What each row is, and what stands between a missed target and us: docs/performance.md. The sections
below say when they were measured; a load average at the end of 1 is that of the benchmark itself.

{table}
![Time of a decision by number of agents](decisions.png)

![Time of a match by number of semantic routes](semantic_routes.png)

![Time of analytics by number of outcomes](analytics.png)
"""


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
            "Where the time of a trained decision goes",
            ("decision_parts.py", *server, "--agents", "100", "--trained"),
        ),
        Benchmark(
            "Semantic routes",
            (
                "semantic_routes.py",
                *server,
                *beside,
                *("--routes", "100", "1000", "10000", "100000"),
                *("--chart", str(HERE / "semantic_routes.png")),
            ),
        ),
        Benchmark("Where the time of a match goes", ("match_parts.py", *server)),
        Benchmark("Recording usage", ("record_usage.py", *server)),
        Benchmark("Analytics", ("analytics.py", *server, "--chart", str(HERE / "analytics.png"))),
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
    sections, figures = known_sections(), known_figures()
    for chosen in benchmarks(options.url, peer):
        script = chosen.command[0]
        if options.only and not script.startswith(tuple(options.only)):
            continue
        if script.startswith(tuple(options.skip)):
            continue
        sections[chosen.title], figures[chosen.title] = run(chosen)
        titles = [b.title for b in benchmarks(options.url, peer) if b.title in sections]
        FIGURES.write_text(json.dumps({t: figures[t] for t in titles if t in figures}, indent=1))
        write([sections[title] for title in titles], rows(figures, titles))
    print(f"\n{table(rows(figures, list(sections)))}\nwritten: {HERE.name}/{RESULTS.name}")


def known_figures() -> dict[str, list[dict[str, Any]]]:
    """Return the figures of earlier runs by the titles of their sections."""
    found: dict[str, list[dict[str, Any]]] = {}
    if FIGURES.exists():
        found = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def rows(figures: dict[str, list[dict[str, Any]]], titles: list[str]) -> list[Figure]:
    """Return the figures of some sections, one below the other."""
    return [Figure(**figure) for title in titles for figure in figures.get(title, [])]


def known_sections() -> dict[str, str]:
    """Return the sections of earlier runs by their titles; what is run now takes their place."""
    if not RESULTS.exists():
        return {}
    parts = RESULTS.read_text(encoding="utf-8").split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def write(sections: list[str], figures: list[Figure]) -> None:
    """Write the results anew, in the order of the benchmarks."""
    heading = HEADING.replace("{table}", table(figures))
    RESULTS.write_text("\n".join([heading, *sections]), encoding="utf-8")


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


def run(benchmark: Benchmark) -> tuple[str, list[dict[str, Any]]]:
    """Run a benchmark, show what it prints as it comes; return its section and its figures."""
    script, *arguments = benchmark.command
    print(f"\n==> {benchmark.title}: {script}", flush=True)
    began, lines = time.monotonic(), []
    with tempfile.NamedTemporaryFile() as sheet:
        with subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, SHEET: sheet.name},
        ) as process:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                lines.append(line.rstrip() + "\n")
        if process.returncode:
            raise SystemExit(f"{script} failed with status {process.returncode}")
        figures = [asdict(figure) for figure in noted(Path(sheet.name))]
    took = time.monotonic() - began
    print(f"    ({took:.0f} s)")
    day = datetime.datetime.now(datetime.UTC).date()
    section = (
        f"## {benchmark.title}\n\n`{shown(benchmark)}`, {day}, {took:.0f} s, "
        f"load average at the end {os.getloadavg()[0]:.1f}, {system()}\n\n"
        f"```text\n{''.join(lines)}```\n"
    )
    return section, figures


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


def system() -> str:
    """Return what it ran on."""
    name = platform.freedesktop_os_release()["PRETTY_NAME"]
    return f"{name}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
