"""``tiny-dancer model list``: the models of this host, and which one a database uses."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tiny_dancer.cli import models_dir

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_REGISTERED = (
    "SELECT name, provider, dimension, checksum, active FROM tiny_dancer.models ORDER BY name"
)
_HEADER = ("name", "provider", "precision", "dimension", "MB", "checksum", "state")
_SHORT = 12


def add_parser(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: of the parser above.
    """
    parser = commands.add_parser(
        "list",
        help="list the models of this host",
        description="Lists the models of this host after checking their contents; with --url "
        "also those that a database has registered, and which of them is active.",
    )
    models_dir.add_arguments(parser)
    parser.add_argument("--url", help="of a database, to see which model it uses")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print a table of the models.

    Args:
        arguments: as parsed.
    """
    directory = models_dir.models_dir(arguments)
    registered = _registered(arguments.url) if arguments.url else {}
    rows = _rows(directory, registered)
    if not rows:
        print(f"no models in {directory}")
        return
    _print_table([_HEADER, *rows])


def _rows(directory: Path, registered: dict[str, _Registered]) -> list[tuple[str, ...]]:
    from tiny_dancer.embedding.model_folder import list_model_names

    here = list_model_names(directory)
    rows = [_row_of_folder(directory, name, registered.get(name)) for name in here]
    absent = [model for name, model in registered.items() if name not in here]
    return rows + [_row_of_registered(model) for model in absent]


class _Registered:
    """A row of tiny_dancer.models."""

    def __init__(
        self, name: str, provider: str, dimension: int, checksum: str | None, active: bool
    ) -> None:
        self.name = name
        self.provider = provider
        self.dimension = dimension
        self.checksum = checksum
        self.state = "active" if active else "registered"


def _registered(url: str) -> dict[str, _Registered]:
    from tiny_dancer.cli.database import fetch_all

    return {row[0]: _Registered(*row) for row in fetch_all(url, _REGISTERED)}


def _row_of_folder(directory: Path, name: str, known: _Registered | None) -> tuple[str, ...]:
    from tiny_dancer.embedding.model_folder import find_model
    from tiny_dancer.errors import MissingFileError

    state = known.state if known else ""
    try:
        folder = find_model(directory, name, verify="sha256")
    except MissingFileError as error:
        return (name, "", "", "", "", "", _joined(state, error.message))
    manifest = folder.manifest
    if known and known.checksum and known.checksum != manifest.checksum:
        state = _joined(state, "but the database has another checksum")
    return (
        name,
        manifest.provider,
        manifest.precision,
        str(manifest.dimension),
        f"{folder.size_bytes / 1e6:.1f}",
        manifest.checksum[:_SHORT],
        state,
    )


def _row_of_registered(model: _Registered) -> tuple[str, ...]:
    # External and hashing models have no files, so they lie on no host.
    state = _joined(model.state, "not on this host") if model.provider == "onnx" else model.state
    checksum = (model.checksum or "")[:_SHORT]
    return (model.name, model.provider, "", str(model.dimension), "", checksum, state)


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
