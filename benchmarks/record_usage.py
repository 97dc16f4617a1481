"""Throughput of ruvector_record_usage against a bare INSERT with the same columns.

Sixteen sessions of pgbench record outcomes of one agent over the Unix socket, in autocommit mode,
with synchronous_commit on and off. The bare INSERT goes into a table that was made like the ledger,
with its partition, its indexes and its checks, but without its trigger. Variants run in turns, and
the median of the rounds is printed, since two shared cores drift.

    make up && .dev/venv/bin/python benchmarks/record_usage.py --url "$(make -s url)"
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

DATABASE = "tiny_dancer_benchmark_record_usage"
BARE = """
CREATE TABLE bare (LIKE tiny_dancer.usage INCLUDING ALL) PARTITION BY RANGE (recorded_at);
CREATE TABLE bare_default PARTITION OF bare DEFAULT;
CREATE INDEX ON bare_default (id);
CREATE INDEX ON bare_default (recorded_at);
CREATE INDEX ON bare_default (agent_id, recorded_at);
CREATE INDEX ON bare_default (decision_id) WHERE decision_id IS NOT NULL;
"""
COLUMNS = "cost, success, latency_ms, input_tokens, output_tokens"
VALUES = "0.012, true, 1840, 100, 50"
INSERT = f"INSERT INTO bare (agent_id, {COLUMNS}) VALUES (1, {VALUES}) RETURNING id;"
RECORD = """SELECT ruvector_record_usage('gpt-4', actual_cost := 0.012, success := true,
    latency_ms := 1840, input_tokens := 100, output_tokens := 50);""".replace("\n", " ")
BUDGETS = """
SELECT ruvector_set_budget(1e9, 'month', agent := 'gpt-4'), ruvector_set_budget(1e9, 'day')
"""
TARGET = 0.7


@contextmanager
def database(url: str) -> Iterator[str]:
    """Make a database for the run, and drop it afterwards."""
    name = sql.Identifier(DATABASE)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
        admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
    yield urlunsplit(urlsplit(url)._replace(path=f"/{DATABASE}"))
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def prepare(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CREATE EXTENSION tiny_dancer CASCADE")
        session.execute("SELECT tiny_dancer.use_model('hashing-384', provider := 'hashing')")
        session.execute("SELECT ruvector_register_agent('gpt-4', 'llm', ARRAY['chat'])")
        session.execute(BARE)


def transactions_per_second(
    pgbench: str, url: str, statement: str, *, clients: int, seconds: int, synchronous: str
) -> float:
    """Run a statement over and over in many sessions, prepared."""
    environment = {**os.environ, "PGOPTIONS": f"-c synchronous_commit={synchronous}"}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "statement.sql"
        script.write_text(statement + "\n", encoding="utf-8")
        options = ["-n", "-M", "prepared", "-j", "2", "-c", str(clients), "-T", str(seconds)]
        finished = subprocess.run(
            [pgbench, *options, "-f", str(script), url],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    found = re.search(r"tps = ([0-9.]+)", finished.stdout)
    assert found, finished.stdout
    return float(found.group(1))


def measure(
    arguments: argparse.Namespace, url: str, synchronous: str, statements: dict[str, str]
) -> dict[str, float]:
    """Return the median throughput of each statement, measured in turns."""
    speeds: dict[str, list[float]] = {name: [] for name in statements}
    with psycopg.connect(url, autocommit=True) as session:
        for _ in range(arguments.rounds):
            for name, statement in statements.items():
                session.execute("TRUNCATE tiny_dancer.usage, bare, tiny_dancer.budget_charges")
                speed = transactions_per_second(
                    arguments.pgbench,
                    url,
                    statement,
                    clients=arguments.clients,
                    seconds=arguments.seconds,
                    synchronous=synchronous,
                )
                speeds[name].append(speed)
    return {name: statistics.median(speed) for name, speed in speeds.items()}


def compare(arguments: argparse.Namespace, url: str, name: str) -> None:
    for synchronous in ("on", "off"):
        statements = {"bare INSERT": INSERT, name: RECORD}
        speeds = measure(arguments, url, synchronous, statements)
        ratio = speeds[name] / speeds["bare INSERT"]
        verdict = f", target {TARGET}: {'met' if ratio >= TARGET else 'MISSED'}"
        print(
            f"synchronous_commit = {synchronous}, {arguments.clients} sessions:"
            f" bare INSERT {speeds['bare INSERT']:.0f}/s, {name} {speeds[name]:.0f}/s,"
            f" ratio {ratio:.2f}{verdict if name == 'record_usage' else ''}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--pgbench", default=os.environ.get("PGBENCH") or shutil.which("pgbench"))
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.pgbench:
        parser.error("pgbench is not on the PATH; pass --pgbench")
    with database(arguments.url) as url:
        prepare(url)
        compare(arguments, url, "record_usage")
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(BUDGETS)
        compare(arguments, url, "record_usage with two budgets")


if __name__ == "__main__":
    main()
