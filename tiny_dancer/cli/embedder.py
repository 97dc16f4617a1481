"""``tiny-dancer embedder``: serve a model of this host to its databases."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tiny_dancer.cli import models_dir
from tiny_dancer.cli.positive_integer import positive

if TYPE_CHECKING:
    from tiny_dancer.embedder.engine import Engine

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: of the parser above.
    """
    parser = commands.add_parser(
        "embedder",
        help="serve an embedding model to the databases of this host",
        description="Holds a model once for all connections and embeds over a Unix socket, until "
        "SIGTERM or SIGINT; what was asked by then is still answered.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a model of this host; with sentence-transformers, what that takes",
    )
    parser.add_argument(
        "--backend",
        choices=["onnx", "sentence-transformers"],
        default="onnx",
        help="what runs the model (default: onnx)",
    )
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="where to listen (default: NAME.sock in the folder of the models, where databases "
        "look for it; let a link there lead to another place)",
    )
    parser.add_argument("--name", help="as databases know the model (default: as MODEL)")
    parser.add_argument("--group", help="whose members may connect (default: of the process)")
    parser.add_argument(
        "--threads",
        type=positive,
        default=max(1, len(os.sched_getaffinity(0)) // 2),
        metavar="N",
        help="cores to use (default: half of them)",
    )
    parser.add_argument(
        "--max-batch",
        type=positive,
        default=32,
        metavar="N",
        help="texts that sentence-transformers embeds at once (default: 32); onnx takes one a core",
    )
    parser.add_argument(
        "--queue",
        type=positive,
        default=1024,
        metavar="N",
        help="texts that may wait before clients are told to come again (default: 1024)",
    )
    models_dir.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Serve until told to stop.

    Args:
        arguments: as parsed.
    """
    from tiny_dancer.embedder.process import serve_until_stopped
    from tiny_dancer.embedding.model_folder import validate_model_name
    from tiny_dancer.embedding.socket_address import socket_path

    name = validate_model_name(arguments.name or Path(arguments.model).name)
    looked_for = socket_path(models_dir.models_dir(arguments), name)
    serve_until_stopped(
        lambda: _engine(arguments, name),
        arguments.socket or looked_for,
        looked_for,
        group=arguments.group,
        max_batch=arguments.max_batch,
        queue=arguments.queue,
    )


def _engine(arguments: argparse.Namespace, name: str) -> Engine:
    if arguments.backend == "onnx":
        from tiny_dancer.embedder.engine import OnnxEngine
        from tiny_dancer.embedding.model_folder import require_known_model

        folder = require_known_model(models_dir.models_dir(arguments), name)
        return OnnxEngine(folder, threads=arguments.threads)
    from tiny_dancer.embedder.sentence_transformer import SentenceTransformerEngine

    return SentenceTransformerEngine(arguments.model, threads=arguments.threads, name=name)
