"""Who may own a socket, and what is removed for it."""

import grp
import os
import socket
import stat

import pytest

from tiny_dancer.embedder.socket_claim import claim_socket
from tiny_dancer.errors import DuplicateObjectError, MissingFileError, UnknownObjectError


def test_a_claimed_socket_is_for_its_group_and_gone_afterwards(path):
    before = os.umask(0)
    try:
        with claim_socket(path) as listening:
            mode = path.stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o660
            assert not listening.getblocking()
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_second_claim_is_refused_and_harms_nobody(path):
    with claim_socket(path):
        inode = path.stat().st_ino
        with pytest.raises(DuplicateObjectError, match="another embedder listens") as caught:
            claim(path)
        assert "Stop it" in caught.value.hint
        assert path.stat().st_ino == inode
    claim(path)


def test_a_claim_through_a_link_is_the_same_claim(path, socket_folder):
    link = socket_folder / "link.sock"
    link.symlink_to(path)
    with claim_socket(link):
        assert stat.S_ISSOCK(path.stat().st_mode)
        with pytest.raises(DuplicateObjectError):
            claim(path)
    assert link.is_symlink()
    assert not path.exists()


def test_a_socket_that_somebody_else_listens_on_is_left_alone(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(DuplicateObjectError):
            claim(path)
        assert path.exists()


def test_a_dead_socket_is_replaced(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with claim_socket(path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))


def test_what_is_no_socket_is_never_removed(path):
    path.write_text("precious")
    with pytest.raises(MissingFileError, match="is not a socket"):
        claim(path)
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there(path):
    with pytest.raises(MissingFileError, match="cannot be made") as caught:
        claim(path.parent / "none" / "x.sock")
    assert "--socket" in caught.value.hint


def test_a_successor_keeps_its_socket(path):
    """Whoever replaced the file while we ran owns it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as successor:
        with claim_socket(path):
            successor.bind(f"{path}.new")
            successor.listen()
            os.replace(f"{path}.new", path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(path))


def test_groups(path):
    own = grp.getgrgid(os.getegid()).gr_name
    with claim_socket(path, group=own):
        assert path.stat().st_gid == os.getegid()
    with pytest.raises(UnknownObjectError, match="there is no group"):
        claim(path, group="no-such-group-here")
    assert not path.exists()


def claim(path, **options):
    with claim_socket(path, **options):
        pass
