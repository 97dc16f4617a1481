"""Throughput of ruvector_record_usage against a bare INSERT with the same columns.

Sessions of pgbench, one and sixteen, record outcomes of one agent over the Unix socket, in
autocommit mode, with synchronous_commit on and off. The bare INSERT goes into a table as one would
write it by hand: the ledger's columns, limits of values (as CHECK constraints), partition and
indexes, and no trigger. Beside it stands a copy of the ledger's own definition without its trigger;
its limits are those of domains, which are checked in half the time. Variants run in turns, and the
median of the rounds is printed, since two shared cores drift.

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
from pathlib import Path

import psycopg
from figures import Figure, note
from scratch_database import new_database

BY_HAND = """
CREATE TABLE by_hand (
    id bigint NOT NULL DEFAULT nextval('tiny_dancer.usage_ids'),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    agent_id bigint NOT NULL,
    cost float8 NOT NULL CHECK (cost >= 0 AND cost < 'Infinity'),
    success boolean NOT NULL,
    latency_ms float8 CHECK (latency_ms >= 0 AND latency_ms < 'Infinity'),
    quality float8 CHECK (quality BETWEEN 0 AND 1),
    input_tokens integer CHECK (input_tokens >= 0),
    output_tokens integer CHECK (output_tokens >= 0),
    tags text[] NOT NULL DEFAULT '{}'
        CHECK (array_position(tags, NULL) IS NULL AND cardinality(tags) <= 100),
    decision_id uuid,
    route_name text,
    reservation_id uuid,
    idempotency_key text CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    request text
) PARTITION BY RANGE (recorded_at)
"""
COPY = "CREATE TABLE copy (LIKE tiny_dancer.usage INCLUDING ALL) PARTITION BY RANGE (recorded_at)"
PARTITION = """
CREATE TABLE {0}_default PARTITION OF {0} DEFAULT;
CREATE INDEX ON {0}_default (id);
CREATE INDEX ON {0}_default (recorded_at);
CREATE INDEX ON {0}_default (agent_id, recorded_at);
CREATE INDEX ON {0}_default (decision_id) WHERE decision_id IS NOT NULL;
"""
COLUMNS = "cost, success, latency_ms, input_tokens, output_tokens"
VALUES = "0.012, true, 1840, 100, 50"
INSERT = f"INSERT INTO {{}} (agent_id, {COLUMNS}) VALUES (1, {VALUES}) RETURNING id;"
BARE = {"bare INSERT": INSERT.format("by_hand"), "into a copy of the ledger": INSERT.format("copy")}
RECORD = """SELECT ruvector_record_usage('gpt-4', actual_cost := 0.012, success := true,
    latency_ms := 1840, input_tokens := 100, output_tokens := 50);""".replace("\n", " ")
BUDGETS = """
SELECT ruvector_set_budget(1e9, 'month', agent := 'gpt-4'), ruvector_set_budget(1e9, 'day')
"""
TARGET = 0.7


def prepare(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CREATE EXTENSION tiny_dancer CASCADE")
        session.execute("SELECT tiny_dancer.use_model('hashing-384', provider := 'hashing')")
        session.execute("SELECT ruvector_register_agent('gpt-4', 'llm', ARRAY['chat'])")
        for table, definition in (("by_hand", BY_HAND), ("copy", COPY)):
            session.execute(definition)
            session.execute(PARTITION.format(table))


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
    arguments: argparse.Namespace, url: str, clients: int, synchronous: str, record: str
) -> dict[str, float]:
    """Return the median throughput of the bare INSERTs and of record_usage, measured in turns."""
    statements = {**BARE, record: RECORD}
    speeds: dict[str, list[float]] = {name: [] for name in statements}
    with psycopg.connect(url, autocommit=True) as session:
        for _ in range(arguments.rounds):
            for name, statement in statements.items():
                session.execute("TRUNCATE tiny_dancer.usage, by_hand, copy")
                session.execute("TRUNCATE tiny_dancer.budget_charges")
                speed = transactions_per_second(
                    arguments.pgbench,
                    url,
                    statement,
                    clients=clients,
                    seconds=arguments.seconds,
                    synchronous=synchronous,
                )
                speeds[name].append(speed)
    return {name: statistics.median(speed) for name, speed in speeds.items()}


def compare(arguments: argparse.Namespace, url: str, clients: int, record: str) -> None:
    for synchronous in ("on", "off"):
        speeds = measure(arguments, url, clients, synchronous, record)
        print(f"{clients} sessions, synchronous_commit = {synchronous}")
        bare = speeds["bare INSERT"]
        for name, speed in speeds.items():
            verdict = ""
            if name.startswith("record_usage"):
                note(
                    Figure(
                        f"{name}, {clients} sessions, synchronous_commit {synchronous}",
                        speed / bare,
                        "of a bare INSERT",
                        TARGET if name == "record_usage" else None,
                        at_least=True,
                        beside=f"{speed:,.0f}/s and {bare:,.0f}/s",
                    )
                )
            if name == "record_usage":
                verdict = f", target {TARGET}: {'met' if speed / bare >= TARGET else 'MISSED'}"
            print(f"  {name:30} {speed:7.0f}/s, ratio {speed / bare:.2f}{verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--pgbench", default=os.environ.get("PGBENCH") or shutil.which("pgbench"))
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.pgbench:
        parser.error("pgbench is not on the PATH; pass --pgbench")
    with new_database(arguments.url) as url:
        prepare(url)
        for clients in arguments.clients:
            compare(arguments, url, clients, "record_usage")
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(BUDGETS)
        compare(arguments, url, arguments.clients[-1], "record_usage with two budgets")


if __name__ == "__main__":
    main()
