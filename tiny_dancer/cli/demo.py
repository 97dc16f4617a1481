"""``tiny-dancer demo``: routing at work, in a database of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tiny_dancer.errors import MissingFileError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EXAMPLES = Path(__file__).parents[2] / "examples"


def add_parser(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: of the parser above.
    """
    parser = commands.add_parser(
        "demo",
        help="load an example fleet, route example requests and show what came of it",
        description="Makes a database of its own anew on the server of --url, registers "
        "the agents of fleet.json, routes the requests of requests.json and prints the decisions, "
        "what they are estimated to cost, and what a fixed choice would have cost. Other "
        "databases are not touched.",
    )
    parser.add_argument(
        "--url",
        required=True,
        help="of any database of the server, as libpq takes it; its role must be a superuser",
    )
    parser.add_argument(
        "--database",
        default="tiny_dancer_demo",
        metavar="NAME",
        help="of the database to make anew (default: tiny_dancer_demo)",
    )
    parser.add_argument(
        "--examples",
        type=Path,
        default=_EXAMPLES,
        metavar="DIR",
        help="folder of fleet.json and requests.json (default: those of the checkout)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Load, route and report.

    Args:
        arguments: as parsed.
    """
    _require_packages()
    from tiny_dancer.cli import demo_database, demo_report, demo_routing
    from tiny_dancer.cli.demo_examples import read_examples

    fleet = read_examples(arguments.examples / "fleet.json")
    requests = read_examples(arguments.examples / "requests.json")
    print(f"Making the database {arguments.database} ...", file=sys.stderr, flush=True)
    with demo_database.new_database(arguments.url, arguments.database) as connection:
        demo_routing.register(connection, fleet)
        routed = demo_routing.route(connection, requests)
    for line in demo_report.report(routed, in_colour=demo_report.wants_colour(sys.stdout)):
        print(line)


def _require_packages() -> None:
    try:
        import psycopg  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as error:
        raise MissingFileError(
            f'python package "{error.name}" is not installed for this python',
            hint='Install the extra "cli": pip install "tiny-dancer[cli]".',
        ) from error
