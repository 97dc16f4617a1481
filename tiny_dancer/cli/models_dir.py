"""Where a server's models lie, as the command line is told it."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from tiny_dancer.errors import MissingFileError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--models-dir`` and ``--pg-config``.

    Args:
        parser: of the command.
    """
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--models-dir", type=Path, metavar="DIR", help="folder of the models")
    place.add_argument(
        "--pg-config",
        default="pg_config",
        metavar="PATH",
        help="pg_config of the server, whose library folder holds the models (default: the "
        "one on PATH)",
    )


def models_dir(arguments: argparse.Namespace) -> Path:
    """Say which folder the arguments mean.

    Args:
        arguments: with ``models_dir`` and ``pg_config``.

    Returns:
        The folder; it need not exist.

    Raises:
        MissingFileError: pg_config cannot be run.
    """
    if arguments.models_dir is not None:
        return Path(arguments.models_dir)
    return _pkglibdir(arguments.pg_config) / "tiny_dancer" / "models"


def _pkglibdir(pg_config: str) -> Path:
    try:
        done = subprocess.run(
            [pg_config, "--pkglibdir"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingFileError(
            f"{pg_config} cannot be run",
            detail=f"{error}",
            hint="Pass --pg-config with the path of the server's pg_config, or --models-dir.",
        ) from error
    return Path(done.stdout.strip())
