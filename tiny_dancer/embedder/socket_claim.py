"""Owning the socket of an embedder: one process at a time, and only its group may connect."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiny_dancer.embedding.socket_address import socket_address
from tiny_dancer.errors import DuplicateObjectError, MissingFileError, UnknownObjectError

_MODE = 0o660


@contextmanager
def claim_socket(path: Path, *, group: str | None = None) -> Iterator[socket.socket]:
    """Listen on a socket, and remove it afterwards.

    A lock on a file beside it (``PATH.lock``, which stays) is held for the life of the process,
    so of two that start at once one is refused, and a socket that a killed process left behind is
    known to be dead and is replaced.

    Args:
        path: of the socket; a link is followed.
        group: whose members may connect; by default that of the process.

    Yields:
        The socket, listening and non-blocking, of mode 0660.

    Raises:
        DuplicateObjectError: another process listens there.
        MissingFileError: the folder cannot be written, or something else lies there.
        UnknownObjectError: there is no such group.
    """
    group_id = _group_id(group)
    real = Path(os.path.realpath(path))
    with _lock(real):
        _remove_stale(real)
        with _listen(real, group_id) as listening:
            inode = real.stat().st_ino
            try:
                yield listening
            finally:
                _remove_own(real, inode)


def _group_id(group: str | None) -> int | None:
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise UnknownObjectError(
            f'there is no group "{group}" on this host',
            hint="Pass a group that the server's user belongs to.",
        ) from None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(path) from None
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise MissingFileError(
            f"{path} is not a socket",
            detail="Something else lies where the embedder should listen.",
            hint="Remove it, or pass another --socket.",
        )
    if _is_alive(path):
        raise _taken(path)
    path.unlink()


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, socket_address(path) as to:
        probe.setblocking(False)
        try:
            probe.connect(to)
        except BlockingIOError:
            return True
        except ConnectionRefusedError:
            return False
        return True


@contextmanager
def _listen(path: Path, group_id: int | None) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        # From the first moment on nobody else may connect, whatever the umask was.
        before = os.umask(0o777 & ~_MODE)
        try:
            with socket_address(path) as address:
                listening.bind(address)
        except OSError as error:
            raise _unwritable(path, error) from error
        finally:
            os.umask(before)
        if group_id is not None:
            _give_to_group(path, group_id)
        listening.setblocking(False)
        listening.listen()
        yield listening


def _give_to_group(path: Path, group_id: int) -> None:
    try:
        os.chown(path, -1, group_id)
    except OSError as error:
        path.unlink()
        raise MissingFileError(
            f"{path} cannot be given to the group ({error.strerror})",
            hint="Run the embedder as a member of that group.",
        ) from error


def _remove_own(path: Path, inode: int) -> None:
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        return


def _taken(path: Path) -> DuplicateObjectError:
    return DuplicateObjectError(
        f"another embedder listens on {path}",
        hint="Stop it first, or pass another --socket.",
    )


def _unwritable(path: Path, error: OSError) -> MissingFileError:
    reason = os.strerror(error.errno or errno.EIO)
    return MissingFileError(
        f"{path} cannot be made ({reason})",
        hint="Make its folder, run the embedder as a user who may write there, or pass another "
        "--socket.",
    )
