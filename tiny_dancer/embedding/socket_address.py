"""Where the embedder of a model listens, and how a path too long for a socket is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiny_dancer.embedding.model_folder import validate_model_name

# Of sockaddr_un.sun_path on Linux, less its final zero.
_MOST_BYTES = 107


def socket_path(models_dir: Path, name: str) -> Path:
    """Return where databases look for the embedder of a model.

    The socket lies there itself, or the path is a symbolic link to where it does. No session
    can change either: the folder is the one fixed at installation.

    Args:
        models_dir: the folder that holds the models.
        name: of the model.

    Raises:
        InvalidArgumentError: the name is not valid.
    """
    return models_dir / f"{validate_model_name(name)}.sock"


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Yield an address that the system calls for sockets accept, however long the path is.

    A longer one is reached through the descriptor of its folder (Linux).

    Args:
        path: of the socket.
    """
    if len(os.fsencode(path)) <= _MOST_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
