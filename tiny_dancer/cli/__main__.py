"""Entry point of the console script and of ``python -m tiny_dancer.cli``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tiny_dancer import __version__
from tiny_dancer.cli import classifier, demo, embedder, model
from tiny_dancer.errors import TinyDancerError

# One module per command. Each has add_parser(commands), whose parser sets the default "run"
# to a function of the parsed arguments; what a command needs is imported when it runs.
_COMMANDS = (classifier, demo, embedder, model)

_FAILED = 1
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit code: 0 done, 1 failed (the reason is on stderr), 130 interrupted. A wrong
        usage exits with 2 from within.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except TinyDancerError as error:
        _report(error)
        return _FAILED
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tiny-dancer", description="Tools around the tiny_dancer extension of PostgreSQL."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def _report(error: TinyDancerError) -> None:
    print(f"error: {error.message}", file=sys.stderr)
    if error.detail:
        print(f"detail: {error.detail}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
