import sys

import pytest

from tiny_dancer.cli import database
from tiny_dancer.cli.__main__ import main
from tiny_dancer.embedding import service
from tiny_dancer.embedding.model_folder import (
    Manifest,
    read_model_folder,
    record_files,
    write_manifest,
)
from tiny_dancer.embedding.wire import Greeting, Status


@pytest.fixture
def models_dir(tmp_path):
    """Two models, one of them damaged."""
    for name in ("broken", "tiny"):
        folder = tmp_path / "tiny_dancer" / "models" / name
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"x" * 2_500_000)
        manifest = Manifest(
            name=name,
            provider="onnx",
            precision="int8",
            dimension=8,
            max_tokens=16,
            pooling="mean",
            normalise=True,
            source="somewhere",
            licence="mit",
            files=record_files(folder),
        )
        write_manifest(folder, manifest)
    (tmp_path / "tiny_dancer" / "models" / "broken" / "model.onnx").write_bytes(b"y" * 2_500_000)
    return tmp_path / "tiny_dancer" / "models"


def _checksum(models_dir):
    return read_model_folder(models_dir / "tiny").manifest.checksum


def _table(text):
    return [line.split() for line in text.splitlines()]


def test_list(models_dir, capsys):
    assert main(["model", "list", "--models-dir", str(models_dir)]) == 0
    header, broken, tiny = _table(capsys.readouterr().out)
    assert header == ["name", "provider", "precision", "dimension", "MB", "checksum", "state"]
    assert tiny == ["tiny", "onnx", "int8", "8", "2.5", _checksum(models_dir)[:12]]
    assert " ".join(broken) == (
        'broken model "broken" is damaged: model.onnx does not have the contents that were imported'
    )


def test_list_of_the_servers_folder(models_dir, tmp_path, capsys):
    pg_config = tmp_path / "pg_config"
    pg_config.write_text(f'#!/bin/sh\n[ "$1" = --pkglibdir ] && echo {tmp_path}\n')
    pg_config.chmod(0o755)
    assert main(["model", "list", "--pg-config", str(pg_config)]) == 0
    assert "\ntiny " in capsys.readouterr().out


def test_no_pg_config(tmp_path, capsys):
    assert main(["model", "list", "--pg-config", str(tmp_path / "pg_config")]) == 1
    assert "--models-dir" in capsys.readouterr().err


def test_no_models(tmp_path, capsys):
    assert main(["model", "list", "--models-dir", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == f"no models in {tmp_path / 'none'}\n"


def _database(monkeypatch, rows):
    asked = []

    def fetch_all(url, query, parameters=()):
        asked.append((url, query, parameters))
        return rows

    monkeypatch.setattr(database, "fetch_all", fetch_all)
    return asked


def test_list_with_a_database(models_dir, monkeypatch, capsys):
    rows = [
        ("absent", "onnx", 384, "a" * 64, False),
        ("hashing", "hashing", 384, None, False),
        ("tiny", "onnx", 8, _checksum(models_dir), True),
    ]
    _database(monkeypatch, rows)
    arguments = ["model", "list", "--models-dir", str(models_dir), "--url", "postgresql:///d"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].endswith("  active")
    assert lines[3].split()[:4] == ["absent", "onnx", "384", "a" * 12]
    assert lines[3].endswith("  registered, not on this host")
    assert lines[4].split() == ["hashing", "hashing", "384", "registered"]


def test_list_where_the_database_has_another_checksum(models_dir, monkeypatch, capsys):
    _database(monkeypatch, [("tiny", "onnx", 8, "b" * 64, True)])
    main(["model", "list", "--models-dir", str(models_dir), "--url", "postgresql:///d"])
    assert "active, but the database has another checksum" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "provider", "discard"),
    [
        ([], None, False),
        (["--discard-vectors"], None, True),
        (["--as", "service"], "service", False),
    ],
)
def test_use(monkeypatch, capsys, flags, provider, discard):
    asked = _database(monkeypatch, [("tiny (onnx, 8 dimensions), 3 agents embedded",)])
    assert main(["model", "use", "tiny", "--url", "postgresql:///d", *flags]) == 0
    query = "SELECT tiny_dancer.use_model(name := %s, provider := %s, discard := %s)"
    assert asked == [("postgresql:///d", query, ("tiny", provider, discard))]
    assert capsys.readouterr().out == "active: tiny (onnx, 8 dimensions), 3 agents embedded\n"


def test_a_database_that_is_not_there(tmp_path, capsys):
    url = f"postgresql://nobody@/none?host={tmp_path}"
    assert main(["model", "use", "tiny", "--url", url]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(tmp_path) in error


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("psycopg", ["use", "m", "--url", "postgresql:///d"]),
        ("tqdm", ["import", "m", "--models-dir", "x"]),
    ],
)
def test_a_missing_package_names_the_extra(package, arguments, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["model", *arguments]) == 1
    error = capsys.readouterr().err
    assert f'error: python package "{package}" is not installed' in error
    assert 'tiny-dancer[cli]"' in error


def test_unknown_choices(capsys):
    for arguments in (["--as", "torch"], ["--precision", "int4"]):
        with pytest.raises(SystemExit) as caught:
            main(["model", "import", "m", *arguments])
        assert caught.value.code == 2
    with pytest.raises(SystemExit):
        main(["model", "list", "--models-dir", "a", "--pg-config", "b"])
    assert "not allowed with" in capsys.readouterr().err


def test_list_says_whether_the_embedder_of_a_model_runs(models_dir, monkeypatch, capsys):
    rows = [("tiny", "service", 8, _checksum(models_dir), True)]
    _database(monkeypatch, rows)
    arguments = ["model", "list", "--models-dir", str(models_dir), "--url", "postgresql:///d"]
    main(arguments)
    assert 'active, embedder of model "tiny" is not running' in capsys.readouterr().out
    served = Greeting(Status.OK, "tiny", 8, _checksum(models_dir))
    monkeypatch.setattr(service, "ask_greeting", lambda path, name, timeout: served)
    main(arguments)
    assert "active, by its embedder" in capsys.readouterr().out
    served = Greeting(Status.OK, "tiny", 8, "c" * 64)
    main(arguments)
    assert "but its embedder serves another model" in capsys.readouterr().out
