"""An import that is interrupted, terminated or killed leaves nothing half-written."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tiny_dancer.embedding.importing import staging
from tiny_dancer.embedding.importing.staging import staging_folder

PATIENCE = 60.0


def heeds_interrupts():
    """Undo what a shell does to jobs in its background: they and their children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def importing(small_bert, models_dir):
    """An import that has begun to work, and takes a good while more."""
    command = [sys.executable, "-m", "tiny_dancer.cli", "model", "import", str(small_bert)]
    command += ["--as", "static", "--threads", "1", "--models-dir", str(models_dir)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=heeds_interrupts
    )
    said = ""
    while "texts ..." not in said:
        said = process.stderr.readline()
        assert said, process.wait(PATIENCE)
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_whoever_is_asked_to_end_leaves_nothing(small_bert, tmp_path, number, status):
    process = importing(small_bert, tmp_path)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == status
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_one_left_is_removed_by_the_next(small_bert, tmp_path):
    process = importing(small_bert, tmp_path)
    process.kill()
    process.communicate(timeout=PATIENCE)
    [left] = tmp_path.iterdir()
    long_ago = time.time() - 3600.0
    with staging_folder(tmp_path, "other") as other:
        assert left.exists()
        os.utime(left, (long_ago, long_ago))
        os.utime(other, (long_ago, long_ago))
        with staging_folder(tmp_path, "another"):
            assert not left.exists()
            assert other.exists()
    assert list(tmp_path.iterdir()) == []


def test_two_imports_remove_the_same_folder(tmp_path, monkeypatch):
    left = tmp_path / ".importing-other-1"
    left.mkdir()
    os.utime(left, (0, 0))
    remove, tried = staging.shutil.rmtree, []

    def remove_too_late(path, *arguments):
        if path == left and not tried:
            tried.append(path)
            remove(path)
        return remove(path, *arguments)

    monkeypatch.setattr(staging.shutil, "rmtree", remove_too_late)
    with staging_folder(tmp_path, "small") as folder:
        assert tried == [left]
        assert list(tmp_path.iterdir()) == [folder]
