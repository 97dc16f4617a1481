"""Where a model is put together before it takes its place, and who may read it then."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiny_dancer.errors import MissingFileError

# The server runs as another user than whoever imports.
_READABLE_FOLDER = 0o755
_READABLE_FILE = 0o644


@contextmanager
def staging_folder(models_dir: Path, name: str) -> Iterator[Path]:
    """Make a hidden folder beside the models, and remove it whatever happens.

    Args:
        models_dir: the folder that holds the models; made if it is not there.
        name: of the model.

    Yields:
        The folder.

    Raises:
        MissingFileError: it cannot be made.
    """
    try:
        _make_readable_folder(models_dir)
        staging = Path(tempfile.mkdtemp(prefix=f".importing-{name}-", dir=models_dir))
    except OSError as error:
        raise MissingFileError(
            f"{models_dir} cannot be written ({error.strerror})",
            hint="Run the command as a user who may, or pass another --models-dir.",
        ) from error
    try:
        yield staging
    finally:
        shutil.rmtree(staging)


def make_readable(folder: Path) -> None:
    """Let everybody read a model."""
    for file in folder.iterdir():
        file.chmod(_READABLE_FILE)
    folder.chmod(_READABLE_FOLDER)


def _make_readable_folder(path: Path) -> None:
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in made:
        folder.chmod(_READABLE_FOLDER)
