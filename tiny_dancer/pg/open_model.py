"""From a row of tiny_dancer.models to a provider that embeds.

A module of its own, imported when a text is first embedded: a backend that is only given
embeddings never pays for what models need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiny_dancer.embedding.provider import EmbeddingProvider, open_provider
from tiny_dancer.embedding.windows import DEFAULT_MAX_WINDOWS
from tiny_dancer.errors import MissingFileError
from tiny_dancer.pg.model import ActiveModel

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend


def open_model(backend: Backend, model: ActiveModel, max_windows: int | None) -> EmbeddingProvider:
    """Open a model's provider.

    Args:
        backend: of this process.
        model: what the database says of it.
        max_windows: a longer text is the mean of up to this many windows; None for the default.

    Raises:
        MissingFileError: the model's files are missing, or are not those of the database.
    """
    if model.provider == "external":
        from tiny_dancer.embedding.external import ExternalProvider

        return ExternalProvider(model.dimension, name=model.name)
    if model.provider == "hashing":
        from tiny_dancer.embedding.hashing import HashingProvider

        return HashingProvider(model.dimension, name=model.name)
    if model.provider == "service":
        return _service(backend, model, max_windows or DEFAULT_MAX_WINDOWS)
    return _of_this_host(backend, model, max_windows or DEFAULT_MAX_WINDOWS)


def _service(backend: Backend, model: ActiveModel, max_windows: int) -> EmbeddingProvider:
    from tiny_dancer.embedding.service import ServiceProvider
    from tiny_dancer.embedding.socket_address import socket_path

    return ServiceProvider(
        socket_path(backend.models_dir, model.name),
        name=model.name,
        dimension=model.dimension,
        checksum=model.checksum or "",
        max_windows=max_windows,
        while_waiting=backend.allow_cancel,
    )


def _of_this_host(backend: Backend, model: ActiveModel, max_windows: int) -> EmbeddingProvider:
    from tiny_dancer.embedding.model_folder import find_model

    folder = find_model(backend.models_dir, model.name)
    if folder.manifest.checksum != model.checksum:
        raise MissingFileError(
            f'model "{model.name}" on this host is not the one that this database uses',
            detail=f"Its checksum is {folder.manifest.checksum}, not {model.checksum}.",
            hint=f"Run on this host: tiny-dancer model import {model.name}; where another "
            "build is there on purpose, embed everything with it: "
            f"SELECT tiny_dancer.use_model('{model.name}');",
        )
    return open_provider(folder, max_windows=max_windows)
