"""The files of examples/ and the demo run, and the demo adds up what the database answers."""

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import psycopg
import pytest
from documented_database import PSQL, URL, fresh_database
from psycopg import sql

from tiny_dancer.cli.__main__ import main

EXAMPLES = Path(__file__).parents[2] / "examples"
WIDTH = 100


@pytest.fixture(scope="module")
def fleet():
    """A database with the example fleet, loaded by the example."""
    with fresh_database() as conninfo:
        run_sql(conninfo, "load_fleet.sql")
        yield conninfo


@pytest.fixture(scope="module")
def demo():
    """What the demo prints, and where its database is."""
    name = f"tiny_dancer_demo_{os.getpid()}"
    out = io.StringIO()
    with redirect_stdout(out):
        assert main(["demo", "--url", URL, "--database", name]) == 0
    yield out.getvalue(), psycopg.conninfo.make_conninfo(URL, dbname=name)
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def run_sql(conninfo, file):
    done = subprocess.run(
        [PSQL, conninfo, "--no-psqlrc", "--tuples-only", "--no-align", f"--file={file}"],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(file):
    return json.loads((EXAMPLES / file).read_text(encoding="utf-8"))


def test_the_fleet_is_loaded_whole(fleet):
    agents = read("fleet.json")
    with psycopg.connect(fleet) as connection:
        rows = connection.execute("SELECT ruvector_get_agent(name) FROM ruvector_list_agents()")
        registered = {row[0]["name"]: row[0] for row in rows}
    assert len(registered) == len(agents)
    for agent in agents:
        assert agent.items() <= registered[agent["name"]].items()


def test_every_request_is_routed_or_refused(fleet):
    run_sql(fleet, "load_fleet.sql")
    printed = run_sql(fleet, "route_requests.sql")
    counts = [int(line.split("|")[1]) for line in printed.splitlines() if "|" in line]
    assert sum(counts) == len(read("requests.json"))
    assert "(no agent fits)|1|" in printed


def test_the_application_prints_the_agent_and_why(fleet):
    program = [sys.executable, EXAMPLES / "choose_agent.py", "--url", fleet]
    asked = ["Find the bug in this loop", "--require", "code", "--optimize-for", "latency"]
    done = subprocess.run([*program, *asked], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("coder: coder (")
    refused = subprocess.run(
        [*program, "Sing a song", "--require", "singing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (1, "")


def test_the_demo_fits_a_terminal_in_plain_text(demo):
    printed, _ = demo
    assert max(map(len, printed.splitlines())) <= WIDTH
    assert printed.isascii()
    assert "\033" not in printed


def test_the_demo_shows_each_decision_of_the_database(demo):
    printed, conninfo = demo
    lines = printed.splitlines()
    with psycopg.connect(conninfo) as connection:
        for call in read("requests.json"):
            if call["request"].startswith("Give a binding"):
                continue
            arguments = sql.SQL(", ").join(
                sql.SQL("{} := {}").format(sql.Identifier(k), sql.Literal(v))
                for k, v in call.items()
            )
            query = sql.SQL("SELECT agent_name FROM ruvector_route({})").format(arguments)
            agent = connection.execute(query).fetchone()[0]
            beginning = call["request"][:20]
            shown = [line for line in lines if line.startswith(beginning)]
            assert len(shown) == 1
            assert re.search(rf"  {re.escape(agent)} ", shown[0]), (shown[0], agent)


def test_the_demo_adds_up_what_the_database_estimates(demo):
    """The sums, worked out here in SQL from the same requests."""
    printed, conninfo = demo
    fixed = sums(conninfo)
    assert fixed["compared"] >= 20
    assert f"the {fixed['compared']} requests that frontier may take" in printed
    routed = figures(printed, "routed")
    frontier = figures(printed, "always frontier (best)")
    assert routed == pytest.approx([fixed["routed"], fixed["routed_quality"]], rel=0.05)
    assert frontier == pytest.approx([fixed["frontier"], fixed["frontier_quality"]], rel=0.05)
    less = 1 - fixed["routed"] / fixed["frontier"]
    assert f"Routing is estimated to cost {less:.0%} less than always frontier" in printed


def figures(printed, label):
    """The cost and the quality of a line of the comparison."""
    line = next(line for line in printed.splitlines() if line.startswith(f"{label}  "))
    cost, _, quality = line[len(label) :].split()[:3]
    return [float(cost.removeprefix("$")), float(quality)]


def sums(conninfo):
    """Costs and qualities of the requests whose constraints frontier meets."""
    compared, routed, fixed = 0, [], []
    with psycopg.connect(conninfo) as connection:
        for call in read("requests.json"):
            query = (
                "SELECT agent_name, rank, estimated_cost, expected_quality "
                f"FROM ruvector_explain_route({', '.join(f'{k} := %({k})s' for k in call)})"
            )
            rows = connection.execute(query, call).fetchall()
            frontier = next(row for row in rows if row[0] == "frontier")
            if frontier[1] is None:
                continue
            compared += 1
            fixed.append(frontier[2:])
            routed.append(next(row[2:] for row in rows if row[1] == 1))
    return {
        "compared": compared,
        "routed": sum(cost for cost, _ in routed),
        "frontier": sum(cost for cost, _ in fixed),
        "routed_quality": sum(quality for _, quality in routed) / compared,
        "frontier_quality": sum(quality for _, quality in fixed) / compared,
    }


def test_the_demo_leaves_a_database_of_its_name_alone(capsys):
    with fresh_database(extended=False) as conninfo:
        name = psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]
        assert main(["demo", "--url", URL, "--database", name]) == 1
        with psycopg.connect(conninfo) as connection:
            connection.execute("SELECT 1")
    assert "that the demo did not make" in capsys.readouterr().err
