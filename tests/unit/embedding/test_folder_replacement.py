import errno
import os
import threading

import pytest

from tiny_dancer.embedding.importing import folder_replacement
from tiny_dancer.embedding.importing.folder_replacement import replace_folder


def _folder(path, contents):
    path.mkdir()
    (path / "file").write_text(contents)
    return path


def test_a_new_folder(tmp_path):
    replace_folder(_folder(tmp_path / "staged", "new"), tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["target"]


def test_an_old_folder(tmp_path):
    _folder(tmp_path / "target", "old")
    replace_folder(_folder(tmp_path / "staged", "new"), tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["target"]


def test_never_missing_meanwhile(tmp_path):
    target = _folder(tmp_path / "target", "0")
    seen, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            seen.append(target.is_dir())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for i in range(200):
            replace_folder(_folder(tmp_path / "staged", str(i)), target)
    finally:
        stop.set()
        watcher.join()
    assert len(seen) > 100
    assert all(seen)


class _LibcThatCannot:
    def __init__(self, code):
        self.code = code

    def __call__(self, *arguments, **options):
        return self

    def renameat2(self, *arguments):
        import ctypes

        ctypes.set_errno(self.code)
        return -1


def test_a_file_system_without_exchange(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_replacement.ctypes, "CDLL", _LibcThatCannot(errno.EINVAL))
    _folder(tmp_path / "target", "old")
    replace_folder(_folder(tmp_path / "staged", "new"), tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["target"]


def test_a_refusal_leaves_the_target(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_replacement.ctypes, "CDLL", _LibcThatCannot(errno.EACCES))
    _folder(tmp_path / "target", "old")
    with pytest.raises(PermissionError):
        replace_folder(_folder(tmp_path / "staged", "new"), tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "old"
