"""The command: says when it is ready, serves, refuses a second one, leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from tiny_dancer.embedding.model_folder import read_model_folder
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.embedding.service import ServiceProvider
from tiny_dancer.errors import EmbedderConnectionError, MissingFileError

PATIENCE = 60.0
TEXTS = ["Write a function", "reset my password " * 30, "é€😀", "a"]


def command(model, models_dir, path, *more):
    arguments = ["embedder", model, "--models-dir", str(models_dir), "--socket", str(path), *more]
    return [sys.executable, "-m", "tiny_dancer.cli", *arguments]


@contextmanager
def started(*arguments, **options):
    process = subprocess.Popen(
        command(*arguments, **options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("ready: "), process.communicate(timeout=PATIENCE)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)


def client_of(path, models_dir, name, **options):
    manifest = read_model_folder(models_dir / name).manifest
    return ServiceProvider(
        path, name=name, dimension=manifest.dimension, checksum=manifest.checksum, **options
    )


def run(*arguments):
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.mark.parametrize("name", ["small-int8", "small-fp32"])
def test_the_vectors_are_those_of_the_model_in_process(small_models, path, name):
    with started(name, small_models, path, "--threads", "2") as process:
        for max_windows in (1, 4):
            client = client_of(path, small_models, name, max_windows=max_windows)
            inside = open_provider(small_models / name, max_windows=max_windows)
            np.testing.assert_array_equal(client.embed_batch(TEXTS), inside.embed_batch(TEXTS))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "SIGTERM: answering what was asked" in log
    assert "embedded 8 texts, refused 0 requests" in log
    assert not path.exists()


def test_an_interrupt_is_a_clean_end_too(small_models, path):
    with started("small-int8", small_models, path) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert not path.exists()


def test_a_second_one_is_refused_and_a_killed_one_replaced(small_models, path):
    with started("small-int8", small_models, path) as first:
        second = run("small-int8", small_models, path)
        assert second.returncode == 1
        assert f"error: another embedder listens on {path}" in second.stderr
        assert client_of(path, small_models, "small-int8").embed("text").shape == (64,)
        first.kill()
        first.wait(PATIENCE)
    assert path.exists()
    with pytest.raises(MissingFileError, match="is not running"):
        client_of(path, small_models, "small-int8")
    with started("small-int8", small_models, path):
        assert client_of(path, small_models, "small-int8").embed("text").shape == (64,)


def test_it_listens_where_databases_look_unless_told_otherwise(small_models, path):
    with started("small-int8", small_models, path) as process:
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE)
    place = small_models / "small-int8.sock"
    assert f"databases look for the socket at {place}" in log
    assert f"ln -s {path} {place}" in log
    arguments = command("small-int8", small_models, path)
    arguments = [part for part in arguments if part not in ("--socket", str(path))]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as p:
        assert p.stdout.readline().rstrip().endswith(f"on {place}")
        p.terminate()
        _, log = p.communicate(timeout=PATIENCE)
    assert "databases look" not in log


def test_what_is_wrong_is_said_and_the_socket_not_left(small_models, path):
    missing = run("nowhere", small_models, path)
    assert missing.returncode == 1
    assert 'error: model "nowhere" is not in' in missing.stderr
    assert "Traceback" not in missing.stderr
    assert not path.exists()
    group = run("small-int8", small_models, path, "--group", "no-such-group-here")
    assert (group.returncode, path.exists()) == (1, False)
    assert "there is no group" in group.stderr
    folder = run("small-int8", small_models, path.parent / "none" / "x.sock")
    assert folder.returncode == 1
    assert "cannot be made" in folder.stderr
    assert run("small-int8", small_models, path, "--threads", "0").returncode == 2


def test_the_sentence_transformers_backend_says_what_it_needs(small_models, path, tmp_path):
    (tmp_path / "sentence_transformers.py").write_text("raise ImportError('not here')\n")
    (tmp_path / "torch.py").write_text("")
    done = subprocess.run(
        command("x/small", small_models, path, "--backend", "sentence-transformers"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert 'python package "sentence_transformers" is not installed' in done.stderr
    assert not path.exists()


def test_a_client_that_is_killed_does_no_harm(small_models, path):
    with started("small-int8", small_models, path):
        for _ in range(50):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(str(path))
                client.sendall(b"tdrq")
        assert client_of(path, small_models, "small-int8").embed("text").shape == (64,)


def test_under_load_it_ends_with_an_answer_to_all_that_it_embedded(small_models, path):
    inside = open_provider(small_models / "small-int8")
    expected = {f"text {i}": inside.embed(f"text {i}") for i in range(16)}
    answers = Counter()
    asking = threading.Barrier(17)

    def ask(text):
        client = client_of(path, small_models, "small-int8")
        asking.wait(PATIENCE)
        while True:
            try:
                vector = client.embed(text)
            except (MissingFileError, EmbedderConnectionError):
                return
            np.testing.assert_array_equal(vector, expected[text])
            answers[text] += 1

    with (
        started("small-int8", small_models, path, "--threads", "2") as process,
        ThreadPoolExecutor(16) as pool,
    ):
        clients = [pool.submit(ask, text) for text in expected]
        asking.wait(PATIENCE)
        time.sleep(0.5)
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE)
        for client in clients:
            client.result(PATIENCE)
    assert process.returncode == 0
    assert len(answers) == 16
    assert f"embedded {answers.total()} texts, refused 0 requests" in log
    assert not path.exists()
