"""``tiny-dancer classifier``: the classifiers that a database starts with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tiny_dancer.cli import classifier_evaluate

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(commands: Commands) -> None:
    """Add the command and those below it.

    Args:
        commands: of the parser above.
    """
    parser = commands.add_parser("classifier", help="starting classifiers: evaluate")
    below = parser.add_subparsers(metavar="ACTION", required=True)
    classifier_evaluate.add_parser(below)
