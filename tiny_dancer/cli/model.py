"""``tiny-dancer model``: the embedding models of this host and of a database."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tiny_dancer.cli import model_import, model_list, model_use

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(commands: Commands) -> None:
    """Add the command and those below it.

    Args:
        commands: of the parser above.
    """
    parser = commands.add_parser("model", help="embedding models: import, list, use")
    below = parser.add_subparsers(metavar="ACTION", required=True)
    for action in (model_import, model_list, model_use):
        action.add_parser(below)
