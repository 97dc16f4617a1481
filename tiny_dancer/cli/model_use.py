"""``tiny-dancer model use``: make a model the active one of a database."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_USE_MODEL = "SELECT tiny_dancer.use_model(name := %s, provider := %s, discard := %s)"


def add_parser(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: of the parser above.
    """
    parser = commands.add_parser(
        "use",
        help="make a model the active one of a database",
        description="Activates a model in a database and embeds its agents and routes again, "
        "in one transaction. Refuses where vectors would be lost.",
    )
    parser.add_argument("name", metavar="NAME", help="a model of the database's host")
    parser.add_argument(
        "--as",
        dest="provider",
        choices=["onnx", "static", "service"],
        help="who runs it: each backend (onnx, static), or the embedder of the database's host "
        "(default: as before, else as it was imported)",
    )
    parser.add_argument("--url", required=True, help="of the database, as libpq takes it")
    parser.add_argument(
        "--discard-vectors",
        action="store_true",
        help="drop the vectors that cannot be made again, instead of refusing",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Activate the model.

    Args:
        arguments: as parsed.
    """
    from tiny_dancer.cli.database import fetch_all

    parameters = (arguments.name, arguments.provider, arguments.discard_vectors)
    [(outcome,)] = fetch_all(arguments.url, _USE_MODEL, parameters)
    print(f"active: {outcome}")
