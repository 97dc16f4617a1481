"""A model from its hub, through huggingface_hub; HF_ENDPOINT and HF_TOKEN apply as usual."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from tiny_dancer.embedding.importing.required_packages import require_package
from tiny_dancer.embedding.importing.source import ModelSource
from tiny_dancer.errors import MissingFileError

# What an import reads, and nothing else: a repository often holds the weights in five formats.
_FILES = (
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "tokenizer.json",
    "model.safetensors",
    "README.md",
    "LICENSE*",
    "LICENCE*",
)


def fetch_from_hub(repository: str, workdir: Path) -> ModelSource:
    """Download the files of a model that an import needs.

    Args:
        repository: ``owner/name``.
        workdir: an empty folder of the caller's.

    Returns:
        The model, whose origin names the commit it was fetched at.

    Raises:
        MissingFileError: the hub cannot be reached, or has no such model for this user.
    """
    hub = require_package("huggingface_hub")
    try:
        commit = str(hub.HfApi().model_info(repository).sha)
        hub.snapshot_download(
            repository, revision=commit, local_dir=workdir, allow_patterns=list(_FILES)
        )
    except _expected_errors(hub) as error:
        raise MissingFileError(
            f'model could not be fetched from the hub as "{repository}"',
            detail=f"{hub.constants.ENDPOINT} said: {_first_line(error)}",
            hint="Check the name and the network; HF_ENDPOINT and HF_TOKEN are honoured.",
        ) from error
    return ModelSource(workdir, f"{repository} at {commit}")


def _expected_errors(hub: ModuleType) -> tuple[type[Exception], ...]:
    errors: list[type[Exception]] = [OSError, hub.errors.HFValidationError]
    # Releases below 1.0 speak through requests (whose errors are OSError), later ones httpx.
    try:
        import httpx
    except ImportError:
        return tuple(errors)
    return (*errors, httpx.HTTPError)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
