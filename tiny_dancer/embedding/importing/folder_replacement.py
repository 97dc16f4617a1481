"""Putting a finished folder in the place of another, with nothing missing in between."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def replace_folder(staged: Path, target: Path) -> None:
    """Rename a folder to its place, and remove what was there.

    A folder that exists is exchanged in one system call, so a process that opens the path
    at any moment finds the old one or the new one. One that already mapped the old files
    keeps them until it closes them.

    Args:
        staged: the finished folder, beside the target on the same file system.
        target: where it belongs.

    Raises:
        OSError: the file system refused; the target is as it was.
    """
    if not target.exists():
        staged.rename(target)
        return
    _exchange(staged, target)
    shutil.rmtree(staged)


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.renameat2(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
    )
    if not failed:
        return
    code = ctypes.get_errno()
    # Some network and overlay file systems cannot exchange.
    if code not in (errno.EINVAL, errno.ENOSYS, errno.EXDEV):
        raise OSError(code, os.strerror(code), str(other))
    _exchange_in_three_steps(one, other)


def _exchange_in_three_steps(one: Path, other: Path) -> None:
    aside = one.with_name(one.name + ".aside")
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:
        aside.rename(other)
        raise
    aside.rename(one)
