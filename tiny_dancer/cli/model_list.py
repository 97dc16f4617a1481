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
_PATIENCE_SECONDS = 3.0


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
    return rows + [_row_of_registered(directory, model) for model in absent]


class _Registered:
    """A row of tiny_dancer.models."""

    def __init__(
        self, name: str, provider: str, dimension: int, checksum: str | None, active: bool
    ) -> None:
        self.name = name
        self.provider = provider
        self.dimension = dimension
        self.checksum = checksum
        self.active = active


def _registered(url: str) -> dict[str, _Registered]:
    from tiny_dancer.cli.database import fetch_all

    return {row[0]: _Registered(*row) for row in fetch_all(url, _REGISTERED)}


def _row_of_folder(directory: Path, name: str, known: _Registered | None) -> tuple[str, ...]:
    from tiny_dancer.embedding.model_folder import find_model
    from tiny_dancer.errors import MissingFileError

    state = _state(directory, known) if known else ""
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


def _row_of_registered(directory: Path, model: _Registered) -> tuple[str, ...]:
    state = _state(directory, model)
    # External and hashing models have no files, so they lie on no host; an embedder has its own.
    if model.provider in ("onnx", "static"):
        state = _joined(state, "not on this host")
    checksum = (model.checksum or "")[:_SHORT]
    return (model.name, model.provider, "", str(model.dimension), "", checksum, state)


def _state(directory: Path, model: _Registered) -> str:
    state = "active" if model.active else "registered"
    if model.provider != "service":
        return state
    return _joined(state, _state_of_embedder(directory, model))


def _state_of_embedder(directory: Path, model: _Registered) -> str:
    from tiny_dancer.embedding.service import ask_greeting
    from tiny_dancer.embedding.socket_address import socket_path
    from tiny_dancer.errors import TinyDancerError

    try:
        path = socket_path(directory, model.name)
        greeting = ask_greeting(path, model.name, timeout=_PATIENCE_SECONDS)
    except TinyDancerError as error:
        return error.message
    if (greeting.name, greeting.checksum) != (model.name, model.checksum):
        return "but its embedder serves another model"
    return "by its embedder"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
