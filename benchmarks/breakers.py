"""What the circuit breakers cost where outcomes are recorded.

Sessions insert outcomes with pgbench over the Unix socket, in autocommit, once with the breakers
switched on and once with them off (the setting breaker_failures), in turns. With the throw-away
server up:

    .dev/venv/bin/python benchmarks/breakers.py "$(make -s url)" --bindir DIR

DIR is where pgbench is (pg_config --bindir). It makes a database of its own and drops it.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict
from scratch_database import new_database
from tqdm import tqdm

INSERT = (
    "INSERT INTO tiny_dancer.usage (agent_id, cost, success, latency_ms) VALUES (1, 0.01, {}, 100);"
)
SWITCH = {
    True: "DELETE FROM tiny_dancer.settings",
    False: "INSERT INTO tiny_dancer.settings VALUES ('breaker_failures', '0')",
}
# What is inserted, and what was recorded of the agent before.
CASES = {
    "success, the agent never failed": ("true", ""),
    "success, the agent failed before": ("true", INSERT.format("false")),
    "success, breaker open": ("true", INSERT.format("false") * 5),
    "every hundredth fails": ("random() > 0.01", ""),
}


def main() -> None:
    """Print throughput with and without the breakers, and their ratio, for each case."""
    arguments = parse_arguments()
    with new_database(arguments.url) as url, psycopg.connect(url, autocommit=True) as session:
        prepare(session)
        for synchronous in ("off", "on"):
            print(f"synchronous_commit = {synchronous}, {arguments.sessions} sessions")
            for case, (success, before) in CASES.items():
                rates = measure(session, url, arguments, synchronous, success, before)
                with_breakers, without = (statistics.median(rates[on]) for on in (True, False))
                print(
                    f"  {case:34} {without:8.0f}/s without, {with_breakers:8.0f}/s with,"
                    f" ratio {with_breakers / without:.2f}"
                )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url", help="connection URL of a server that has tiny_dancer installed")
    parser.add_argument("--bindir", type=Path, default=Path(), help="where pgbench is")
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=4, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    return parser.parse_args()


def prepare(session: psycopg.Connection) -> None:
    session.execute("SET client_min_messages = warning")
    session.execute("CREATE EXTENSION tiny_dancer CASCADE")
    session.execute("INSERT INTO tiny_dancer.agents (name, agent_type) VALUES ('a', 'llm')")


def measure(
    session: psycopg.Connection,
    url: str,
    arguments: argparse.Namespace,
    synchronous: str,
    success: str,
    before: str,
) -> dict[bool, list[float]]:
    """Return transactions per second by whether the breakers were on, each of all rounds."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in tqdm(range(arguments.rounds), leave=False):
        for is_on in (False, True):
            session.execute("TRUNCATE tiny_dancer.usage, tiny_dancer.breaker_events")
            session.execute("CHECKPOINT")
            if before:
                session.execute(before)
            session.execute(SWITCH[is_on])
            rates[is_on].append(throughput(url, arguments, synchronous, INSERT.format(success)))
    return rates


def throughput(url: str, arguments: argparse.Namespace, synchronous: str, statement: str) -> float:
    """Return the transactions per second of a run of pgbench."""
    address = conninfo_to_dict(url)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(statement)
        script.flush()
        finished = subprocess.run(
            [
                *(str(arguments.bindir / "pgbench"), "-n", "-M", "prepared"),
                *("-c", str(arguments.sessions), "-j", "2", "-T", str(arguments.seconds)),
                *("-h", str(address["host"]), "-p", str(address.get("port", 5432))),
                *("-U", str(address["user"]), "-f", script.name, str(address["dbname"])),
            ],
            env={"PGOPTIONS": f"-c synchronous_commit={synchronous}"},
            check=True,
            capture_output=True,
            text=True,
        )
    found = re.search(r"tps = ([\d.]+)", finished.stdout)
    if found is None:
        raise RuntimeError(f"pgbench said: {finished.stdout}")
    return float(found[1])


if __name__ == "__main__":
    main()
