"""What a model is where this server can reach it: who runs it, its dimension, its checksum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiny_dancer.embedding.model_folder import find_model, list_model_names
from tiny_dancer.errors import InvalidArgumentError, UnknownObjectError, shown

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

OF_THIS_HOST = ("onnx", "static")
WITH_CHECKSUM = (*OF_THIS_HOST, "service")
PROVIDERS = (*WITH_CHECKSUM, "external", "hashing")
DEFAULT_HASHING_DIMENSION = 384
MOST_DIMENSION = 16_000


@dataclass(frozen=True, slots=True)
class Build:
    """A model as it can be had now.

    Attributes:
        provider: who runs it.
        dimension: of its vectors.
        checksum: of what decides them, None where nothing but its name does.
    """

    provider: str
    dimension: int
    checksum: str | None = None


def find_build(backend: Backend, name: str, provider: str | None, dimension: int | None) -> Build:
    """Return the present build of a model.

    Args:
        backend: of this process.
        name: of the model, valid.
        provider: who is to run it; None means whom its files are for.
        dimension: as the user stated it, if so.

    Raises:
        InvalidArgumentError: the provider is unknown, or what was stated is not so.
        UnknownObjectError: no model of this name is on this host.
        MissingFileError: its files are damaged, or its embedder is not running.
    """
    if provider is not None and provider not in PROVIDERS:
        raise InvalidArgumentError(
            f"unknown provider {shown(provider)}", hint=f"Use one of: {', '.join(PROVIDERS)}."
        )
    if provider is None or provider in OF_THIS_HOST:
        build = _of_files(backend, name)
        check_stated(name, "provider", provider, build.provider)
    elif provider == "service":
        build = _of_embedder(backend, name)
    else:
        return Build(provider, _stated_dimension(name, provider, dimension))
    check_stated(name, "dimension", dimension, build.dimension)
    return build


def check_stated(name: str, what: str, stated: Any, present: Any) -> None:
    """Refuse what was stated and is not so.

    Raises:
        InvalidArgumentError: the two differ.
    """
    if stated is not None and stated != present:
        raise InvalidArgumentError(
            f"model {name!r} has {what} {present}, not {str(stated)[:80]}",
            hint="Leave it out, or choose another name for another model.",
        )


def _of_files(backend: Backend, name: str) -> Build:
    installed = list_model_names(backend.models_dir)
    if name not in installed:
        raise UnknownObjectError(
            f"model {name!r} is not installed on this host",
            detail=f"Installed are: {', '.join(installed) or 'none'}.",
            hint=f"Run on this host: tiny-dancer model import {name}",
        )
    manifest = find_model(backend.models_dir, name).manifest
    return Build(manifest.provider, manifest.dimension, manifest.checksum)


def _of_embedder(backend: Backend, name: str) -> Build:
    from tiny_dancer.embedding.service import ask_greeting, require_named
    from tiny_dancer.embedding.socket_address import socket_path

    path = socket_path(backend.models_dir, name)
    greeting = ask_greeting(path, name, while_waiting=backend.allow_cancel)
    require_named(path, greeting, name)
    return Build("service", greeting.dimension, greeting.checksum)


def _stated_dimension(name: str, provider: str, dimension: int | None) -> int:
    if provider == "hashing" and dimension is None:
        return DEFAULT_HASHING_DIMENSION
    if dimension is None or not 1 <= dimension <= MOST_DIMENSION:
        raise InvalidArgumentError(
            f"dimension of model {name!r} is {dimension}",
            hint=f"Give the length of its vectors, from 1 to {MOST_DIMENSION}.",
        )
    return dimension
