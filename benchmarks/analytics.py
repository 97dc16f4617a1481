"""Analytics over millions of outcomes: read from the ledger, and from the sums of maintenance.

Outcomes of 90 days and 100 agents are made in SQL, a day at a time. For each size it is measured
what ruvector_routing_analytics('7 days', 'agent') takes, percentiles included, before and after
tiny_dancer.maintain(), beside other groups and periods; with --chart FILE.png it draws the growth.
From the ledger one call counts, after another one; from sums the median of several. It makes a
database of its own and drops it. With the throw-away server up:

    .dev/venv/bin/python benchmarks/analytics.py --url "$(make -s url)" --rows 1000000 10000000
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from figures import Figure, note
from growth_chart import Series, draw_growth
from scratch_database import new_database
from tqdm import tqdm

DAYS = 90
AGENTS = 100
TARGET_MS = 300.0
REGISTER = """
INSERT INTO tiny_dancer.agents (name, agent_type, capabilities, cost_per_1k_tokens, quality_score)
SELECT 'agent-' || n, 'llm', ARRAY['c' || n %% 7], 0.0001 * n, 0.5 + n * 0.004
FROM generate_series(1, %s) n
"""
# Some agents are asked far more often than others; latencies are spread as they are in practice.
DAY = """
INSERT INTO tiny_dancer.usage
    (recorded_at, agent_id, cost, success, latency_ms, input_tokens, output_tokens, tags,
     route_name)
SELECT date_trunc('hour', now()) - %(day)s * interval '1 day' + random() * interval '1 day',
       1 + floor(%(agents)s * power(random(), 2)), 0.01 * random(), random() < 0.97,
       exp(6.5 + 1.2 * (random() + random() + random() + random() - 2)),
       (2000 * random())::integer, (500 * random())::integer,
       ARRAY['team-' || (10 * random())::integer],
       CASE WHEN random() < 0.5 THEN 'route-' || (20 * random())::integer END
FROM generate_series(1, %(rows)s)
"""
QUESTIONS = {
    "7 days by agent": "ruvector_routing_analytics('7 days', 'agent')",
    "7 days by tag": "ruvector_routing_analytics('7 days', 'tag')",
    "90 days by agent": "ruvector_routing_analytics('90 days', 'agent')",
    "totals of 90 days": "ruvector_routing_stats('90 days')",
}


def main() -> None:
    """Print how long each question takes, from the ledger and from the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=5, help="calls of each question, from sums")
    parser.add_argument("--chart", type=Path, help="draw the growth into this PNG")
    arguments = parser.parse_args()
    measured = []
    for rows in arguments.rows:
        with prepared_database(arguments.url) as session:
            measured.append(report(session, rows, arguments.rounds)["7 days by agent"])
    if arguments.chart:
        draw(measured, arguments.chart)


class Answer(NamedTuple):
    """Milliseconds of one question over some outcomes, from the ledger itself and from sums."""

    rows: int
    ledger: float
    sums: float


def draw(measured: list[Answer], path: Path) -> None:
    """Draw how long the question for 7 days takes, by the outcomes there are."""
    sizes = [answer.rows for answer in measured]
    lines = [
        Series("from sums", sizes, [answer.sums for answer in measured]),
        Series("from the ledger", sizes, [answer.ledger for answer in measured], "s--", "#666"),
        Series("target", [max(sizes)], [TARGET_MS], "_", "black"),
    ]
    draw_growth(path, lines, across="outcomes of 90 days", up="milliseconds, 7 days by agent")


@contextmanager
def prepared_database(url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection to a database with the extension and its agents, dropped afterwards."""
    with new_database(url) as scratch, psycopg.connect(scratch, autocommit=True) as session:
        session.execute("SET client_min_messages = warning")
        session.execute("CREATE EXTENSION tiny_dancer CASCADE")
        session.execute(REGISTER, [AGENTS])
        yield session


def report(session: psycopg.Connection, rows: int, rounds: int) -> dict[str, Answer]:
    """Measure, print, and return how long each question took."""
    fill(session, rows)
    plain = {question: milliseconds(session, call, 1) for question, call in QUESTIONS.items()}
    began = time.perf_counter()
    session.execute("SELECT * FROM tiny_dancer.maintain('1 day')")
    maintained = time.perf_counter() - began
    session.execute("VACUUM ANALYZE tiny_dancer.usage_rollups")
    began = time.perf_counter()
    session.execute("SELECT * FROM tiny_dancer.maintain()")
    again = time.perf_counter() - began
    answers: dict[str, Answer] = {}
    print(f"{rows} outcomes of {DAYS} days, {AGENTS} agents")
    print(f"  first maintain() {maintained:.0f} s, next one {again * 1000:.0f} ms")
    for question, call in QUESTIONS.items():
        summed = milliseconds(session, call, rounds)
        answers[question] = Answer(rows, plain[question], summed)
        verdict = ""
        if question == "7 days by agent":
            note(
                Figure(
                    f"analytics over {rows:,} outcomes of {DAYS} days, {question}, percentiles",
                    summed,
                    "ms",
                    TARGET_MS,
                    beside=f"from the ledger {plain[question]:,.0f} ms",
                )
            )
            verdict = f", target {TARGET_MS:.0f} ms: {'met' if summed <= TARGET_MS else 'MISSED'}"
        print(
            f"  {question:18} from the ledger {plain[question]:8.0f} ms,"
            f" from sums {summed:6.0f} ms{verdict}",
            flush=True,
        )
    return answers


# The months that maintenance has made by then in a database that runs for so long.
MONTHS = """
SELECT tiny_dancer.make_month('usage', month), tiny_dancer.attach_month('usage', month)
FROM (SELECT tiny_dancer.months_after(tiny_dancer.month_of(now()), n) AS month
      FROM generate_series(-4, 1) n) AS months
"""


def fill(session: psycopg.Connection, rows: int) -> None:
    """Record outcomes of the past days, without the trigger: it does nothing with such."""
    session.execute(MONTHS)
    session.execute("ALTER TABLE tiny_dancer.usage DISABLE TRIGGER count_usage")
    session.execute("SET synchronous_commit = off")
    for day in tqdm(range(DAYS, 0, -1), desc=f"making {rows} outcomes", leave=False):
        session.execute(DAY, {"day": day, "agents": AGENTS, "rows": rows // DAYS})
    session.execute("ALTER TABLE tiny_dancer.usage ENABLE TRIGGER count_usage")
    session.execute("VACUUM ANALYZE tiny_dancer.usage")


def milliseconds(session: psycopg.Connection, call: str, rounds: int) -> float:
    """Return the median duration of a call, the first one left out."""
    durations = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        session.execute(f"SELECT * FROM {call}").fetchall()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations[1:]) * 1000.0


if __name__ == "__main__":
    main()
