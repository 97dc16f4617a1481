import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from tiny_dancer.embedding.model_folder import read_model_folder, record_files, write_manifest
from tiny_dancer.embedding.native_libraries import quiet_native_load
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.errors import InvalidArgumentError, MissingFileError, NotReadyError


@pytest.fixture
def copied(small_models, tmp_path):
    """A model to damage."""
    return shutil.copytree(small_models / "small-int8", tmp_path / "small-int8")


def _replace(folder, file, contents):
    """Change a file and make the manifest agree, as if it had been imported so."""
    manifest = read_model_folder(folder).manifest
    (folder / file).write_bytes(contents)
    (folder / "model.json").unlink()
    write_manifest(folder, dataclasses.replace(manifest, files=record_files(folder)))


def test_name_and_dimension(small_provider):
    assert small_provider.name.startswith("small-")
    assert small_provider.dimension == 64


@pytest.mark.parametrize("text", ["", "   ", "\n", "\u200b", "\x00\x01"])
def test_nothing_to_embed(small_provider, text):
    with pytest.raises(InvalidArgumentError, match="text to embed"):
        small_provider.embed(text)
    with pytest.raises(InvalidArgumentError, match="text to embed"):
        small_provider.embed_batch(["fine", text])


def test_an_empty_batch(small_provider):
    assert small_provider.embed_batch([]).shape == (0, 64)


@pytest.mark.parametrize("file", ["model.onnx", "model.onnx.data", "tokenizer.json"])
def test_a_missing_file_is_named(copied, file):
    (copied / file).unlink()
    with pytest.raises(MissingFileError, match=f"damaged: {file} cannot be read"):
        open_provider(copied)


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json"])
def test_a_file_that_does_not_load_is_named(copied, file):
    _replace(copied, file, b"nonsense")
    with pytest.raises(MissingFileError, match=f"cannot be loaded from {file}") as caught:
        open_provider(copied)
    assert caught.value.hint == "Run on this host: tiny-dancer model import small-int8"


def test_another_provider(copied):
    manifest = read_model_folder(copied).manifest
    write_manifest(copied, dataclasses.replace(manifest, provider="quantum"))
    with pytest.raises(NotReadyError, match='provider "quantum", which this version'):
        open_provider(copied)


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_a_missing_package_names_the_extra(small_models, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingFileError, match=f'package "{package}" is not') as caught:
        open_provider(small_models / "small-int8")
    assert 'tiny-dancer[onnx]"' in caught.value.hint


def test_helper_threads_never_take_signals():
    seen = []
    with quiet_native_load():
        thread = threading.Thread(target=lambda: seen.append(_mask()))
        thread.start()
        thread.join()
    assert signal.SIGINT in seen[0]
    assert signal.SIGALRM in seen[0]
    assert signal.SIGINT not in _mask()


def test_the_signal_mask_is_restored_after_an_error():
    before = _mask()
    with pytest.raises(OSError, match="no"), quiet_native_load():
        raise OSError("no")
    assert _mask() == before


def test_loading_in_a_fresh_process(small_models):
    """No thread can take the server's signals, nothing heavy comes along, nothing is printed."""
    code = f"""
import os, signal, sys
from pathlib import Path
from tiny_dancer.embedding.provider import open_provider
assert not {{"onnxruntime", "tokenizers"}} & set(sys.modules)
open_provider(Path({str(small_models / "small-int8")!r})).embed("reset my password")
assert not {{"torch", "onnx", "safetensors", "huggingface_hub"}} & set(sys.modules)
wanted = sum(1 << (s - 1) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1))
for task in Path("/proc/self/task").iterdir():
    blocked = (task / "status").read_text().partition("SigBlk:")[2].split()[0]
    is_main = task.name == str(os.getpid())
    assert int(blocked, 16) & wanted == (0 if is_main else wanted), (task.name, blocked)
print(os.environ["TOKENIZERS_PARALLELISM"])
"""
    # NumPy's own threads are the business of whoever imports it first.
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.stdout, done.stderr) == ("false\n", "")


def test_a_second_provider_gives_the_same_vectors(small_models):
    one, other = (open_provider(small_models / "small-int8") for _ in range(2))
    assert np.array_equal(one.embed("the order"), other.embed("the order"))


def _mask():
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())
