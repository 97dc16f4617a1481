"""An embedder beside the server under test, where its databases look for it."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0
MODEL = "all-MiniLM-L6-v2"


def models_folder():
    """The folder of the models of the server under test."""
    pg_config = Path(os.environ["TINY_DANCER_PG_BINDIR"]) / "pg_config"
    done = subprocess.run([pg_config, "--pkglibdir"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()) / "tiny_dancer" / "models"


def group_of_server(session):
    """The group whose members the server's processes are."""
    folder = Path(session.execute("SHOW data_directory").fetchone()[0])
    return grp.getgrgid(folder.stat().st_gid).gr_name


def owner_of_server(session):
    """The user id of the server's processes."""
    return Path(session.execute("SHOW data_directory").fetchone()[0]).stat().st_uid


@contextmanager
def embedder(session, *arguments, group=None):
    """Run the embedder of the default model; yields its process once it is ready."""
    command = [sys.executable, "-m", "tiny_dancer.cli", "embedder", MODEL]
    command += ["--models-dir", str(models_folder()), "--group", group or group_of_server(session)]
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout.readline().startswith("ready: ")
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)
