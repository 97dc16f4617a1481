"""Where a model is put together before it takes its place, and who may read it then."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tiny_dancer.errors import MissingFileError

# The server runs as another user than whoever imports.
_READABLE_FOLDER = 0o755
_READABLE_FILE = 0o644

_PREFIX = ".importing-"
# A folder that was just made may not be locked yet.
_JUST_MADE_SECONDS = 60.0


@contextmanager
def staging_folder(models_dir: Path, name: str) -> Iterator[Path]:
    """Make a hidden folder beside the models, and remove it whatever happens.

    It is locked as long as it is in use, so one that a killed process left behind is known by its
    lock and removed, too.

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
        _remove_abandoned(models_dir)
        staging = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{name}-", dir=models_dir))
    except OSError as error:
        raise MissingFileError(
            f"{models_dir} cannot be written ({error.strerror})",
            hint="Run the command as a user who may, or pass another --models-dir.",
        ) from error
    try:
        with _lock(staging):
            yield staging
    finally:
        shutil.rmtree(staging)


def make_readable(folder: Path) -> None:
    """Let everybody read a model."""
    for file in folder.iterdir():
        file.chmod(_READABLE_FILE)
    folder.chmod(_READABLE_FOLDER)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock a folder.

    Raises:
        BlockingIOError: another process has.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(models_dir: Path) -> None:
    for folder in models_dir.glob(f"{_PREFIX}*"):
        # Another import may be using it, or removing it at this moment.
        with suppress(BlockingIOError, FileNotFoundError):
            if time.time() - folder.stat().st_mtime < _JUST_MADE_SECONDS:
                continue
            with _lock(folder):
                shutil.rmtree(folder)


def _make_readable_folder(path: Path) -> None:
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in made:
        folder.chmod(_READABLE_FOLDER)
