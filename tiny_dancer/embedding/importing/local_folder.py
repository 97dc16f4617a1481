"""A model that already lies on this machine."""

from __future__ import annotations

from pathlib import Path

from tiny_dancer.embedding.importing.source import ModelSource


def find_local_folder(name_or_path: str) -> ModelSource | None:
    """See whether what the user named is a folder.

    Args:
        name_or_path: as given.

    Returns:
        The folder as a source, whose origin is its name only: a path of this machine means
        nothing on another. None if there is no such folder.
    """
    path = Path(name_or_path).expanduser()
    if not path.is_dir():
        return None
    return ModelSource(path, f"local folder {path.resolve().name}")
