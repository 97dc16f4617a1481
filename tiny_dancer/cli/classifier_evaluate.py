"""``tiny-dancer classifier evaluate``: how good the starting classifiers are."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiny_dancer.cli import models_dir
from tiny_dancer.cli.tqdm_class import tqdm_class

if TYPE_CHECKING:
    from tiny_dancer.starting_corpus.corpus import StartingRequest
    from tiny_dancer.weights import Float32Array

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: of the parser above.
    """
    parser = commands.add_parser(
        "evaluate",
        help="print how good the starting classifiers are",
        description="Trains the classifiers that a database starts with on the part of the "
        "starting corpus that is for training, and prints accuracy and calibration on the part "
        "that is held out. Needs no database.",
    )
    models_dir.add_arguments(parser)
    parser.add_argument(
        "--model",
        default="all-MiniLM-L6-v2",
        metavar="NAME",
        help="of the embedding model (default: all-MiniLM-L6-v2)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Embed the corpus, train, evaluate and print.

    Args:
        arguments: as parsed.
    """
    tqdm = tqdm_class()
    from tiny_dancer.embedding.native_libraries import quiet_native_load
    from tiny_dancer.starting_corpus.corpus import load

    # NumPy on one thread: on matrices as small as these, several would wait for each other.
    with quiet_native_load():
        from tiny_dancer.starting_corpus.evaluation import evaluate, report

    requests = load()
    embeddings = _embed(models_dir.models_dir(arguments), arguments.model, requests, tqdm)
    with tqdm(desc="training", unit="epoch", leave=False, disable=None) as bar:

        def show(epoch: int, of: int, loss: float) -> None:
            bar.total, bar.n = of, epoch
            bar.set_postfix(loss=f"{loss:.3f}")

        evaluation = evaluate(requests, embeddings, progress=show)
    for line in report(evaluation):
        print(line)


def _embed(directory: Path, name: str, requests: list[StartingRequest], tqdm: Any) -> Float32Array:
    import numpy as np

    from tiny_dancer.embedding.model_folder import find_model
    from tiny_dancer.embedding.provider import open_provider

    provider = open_provider(find_model(directory, name))
    counted = tqdm(requests, desc="embedding", unit="text", leave=False, disable=None)
    return np.array([provider.embed(request.text) for request in counted], dtype=np.float32)
