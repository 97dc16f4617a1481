"""``tiny-dancer model import``: bring a sentence-transformers model to this host."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tiny_dancer.cli import models_dir

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: of the parser above.
    """
    parser = commands.add_parser(
        "import",
        help="turn a sentence-transformers model into one of this host",
        description="Fetches a model, converts it (no torch needed), compares it with the "
        "original and puts it among the models of this host, replacing one of its name.",
    )
    parser.add_argument(
        "source",
        metavar="NAME_OR_PATH",
        help="all-MiniLM-L6-v2, owner/name as on the hub, or a folder that "
        "sentence-transformers saved",
    )
    parser.add_argument(
        "--as",
        dest="provider",
        choices=["onnx"],
        default="onnx",
        help="what it becomes (default: onnx)",
    )
    parser.add_argument(
        "--precision",
        choices=["int8", "fp32"],
        default="int8",
        help="of the weights (default: int8)",
    )
    parser.add_argument("--name", help="the model's name here (default: as its source)")
    models_dir.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Import a model and say what came of it.

    Args:
        arguments: as parsed.
    """
    from tiny_dancer.cli.progress_bar import ProgressBar
    from tiny_dancer.embedding.importing.importer import import_model

    with ProgressBar() as progress:
        imported = import_model(
            arguments.source,
            models_dir.models_dir(arguments),
            name=arguments.name,
            precision=arguments.precision,
            progress=progress,
        )
    folder = imported.folder
    manifest = folder.manifest
    print(
        f"{manifest.name}: {manifest.provider} {manifest.precision}, "
        f"{manifest.dimension} dimensions, {folder.size_bytes / 1e6:.1f} MB, "
        f"checksum {manifest.checksum[:12]}, cosine to fp32 {imported.cosine:.4f}"
    )
    print(f"in {folder.path}")
