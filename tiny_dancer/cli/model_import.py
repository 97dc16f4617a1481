"""``tiny-dancer model import``: bring a sentence-transformers model to this host."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

from tiny_dancer.cli import models_dir
from tiny_dancer.cli.positive_integer import positive
from tiny_dancer.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tiny_dancer.cli.progress_bar import ProgressBar
    from tiny_dancer.embedding.importing.importer import ImportedModel

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
        choices=["onnx", "static"],
        default="onnx",
        help="what it becomes: onnx is run by each backend; static is a table of tokens that is "
        "fitted to the model, which takes a minute or two (default: onnx)",
    )
    parser.add_argument(
        "--precision",
        choices=["int8", "fp32"],
        help="of the weights of an onnx model (default: int8)",
    )
    parser.add_argument(
        "--teacher",
        choices=["onnx", "sentence-transformers"],
        help="what runs the model that a static one is fitted to; sentence-transformers, where "
        "installed, has more architectures (default: onnx)",
    )
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="cores that run the teacher of a static model (default: all)",
    )
    parser.add_argument(
        "--name",
        help="the model's name here (default: as its source, with -static for a static one)",
    )
    models_dir.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Import a model and say what came of it.

    Args:
        arguments: as parsed.
    """
    from tiny_dancer.cli.progress_bar import ProgressBar

    _require_fitting_options(arguments)
    # Leave through the clean-up, as an interrupt does.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with ProgressBar() as progress:
        imported = _import(arguments, progress)
    folder = imported.folder
    manifest = folder.manifest
    original = "fp32" if manifest.provider == "onnx" else "its original"
    print(
        f"{manifest.name}: {manifest.provider} {manifest.precision}, "
        f"{manifest.dimension} dimensions, {folder.size_bytes / 1e6:.1f} MB, "
        f"checksum {manifest.checksum[:12]}, cosine to {original} {imported.cosine:.4f}"
    )
    print(f"in {folder.path}; licence of the weights: {manifest.licence}")


def _require_fitting_options(arguments: argparse.Namespace) -> None:
    unfit = ("teacher", "threads") if arguments.provider == "onnx" else ("precision",)
    for name in unfit:
        if getattr(arguments, name) is not None:
            raise InvalidArgumentError(
                f"--{name} has no meaning with --as {arguments.provider}", hint="Leave it out."
            )


def _import(arguments: argparse.Namespace, progress: ProgressBar) -> ImportedModel:
    directory = models_dir.models_dir(arguments)
    if arguments.provider == "static":
        from tiny_dancer.embedding.importing.static_importer import import_static

        return import_static(
            arguments.source,
            directory,
            name=arguments.name,
            teacher=arguments.teacher or "onnx",
            threads=arguments.threads,
            progress=progress,
        )
    from tiny_dancer.embedding.importing.importer import import_model

    return import_model(
        arguments.source,
        directory,
        name=arguments.name,
        precision=arguments.precision or "int8",
        progress=progress,
    )
