"""Opening the provider of the model that a database uses."""

from __future__ import annotations

from pathlib import Path

from tiny_dancer.embedding.external import ExternalProvider
from tiny_dancer.embedding.hashing import HashingProvider
from tiny_dancer.embedding.model_folder import find_model
from tiny_dancer.embedding.provider import EmbeddingProvider, open_provider
from tiny_dancer.embedding.windows import DEFAULT_MAX_WINDOWS
from tiny_dancer.errors import MissingFileError
from tiny_dancer.pg.model import ActiveModel


def open_model(
    models_dir: Path, model: ActiveModel, max_windows: int | None = None
) -> EmbeddingProvider:
    """Open a model's provider.

    Args:
        models_dir: the folder of model files.
        model: what the database says of it.
        max_windows: a longer text is the mean of up to this many windows; None for the default.

    Raises:
        MissingFileError: the model's files are missing, or are not those of the database.
    """
    if model.provider == "external":
        return ExternalProvider(model.dimension, name=model.name)
    if model.provider == "hashing":
        return HashingProvider(model.dimension, name=model.name)
    folder = find_model(models_dir, model.name)
    if folder.manifest.checksum != model.checksum:
        raise MissingFileError(
            f'model "{model.name}" on this host is not the one that this database uses',
            detail=f"Its checksum is {folder.manifest.checksum}, not {model.checksum}.",
            hint=f"Run on this host: tiny-dancer model import {model.name}; where another "
            "build is there on purpose, embed everything with it: "
            f"SELECT tiny_dancer.use_model('{model.name}');",
        )
    return open_provider(folder, max_windows=max_windows or DEFAULT_MAX_WINDOWS)
