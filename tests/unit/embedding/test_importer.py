import os
import stat

import numpy as np
import pytest
from small_bert import write_small_bert

from tiny_dancer.embedding.importing import importer
from tiny_dancer.embedding.importing.agreement import require_agreement
from tiny_dancer.embedding.importing.importer import import_model
from tiny_dancer.embedding.model_folder import read_model_folder
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.errors import InvalidArgumentError, MissingFileError, UnknownObjectError


def _entries(models_dir):
    return sorted(entry.name for entry in models_dir.iterdir())


def test_what_an_import_makes(small_bert, tmp_path):
    imported = import_model(str(small_bert), tmp_path / "models")
    manifest = imported.folder.manifest
    assert _entries(tmp_path / "models") == ["small-bert"]
    assert manifest.name == "small-bert"
    assert (manifest.provider, manifest.precision, manifest.dimension) == ("onnx", "int8", 64)
    assert (manifest.max_tokens, manifest.pooling, manifest.normalise) == (16, "mean", True)
    assert (manifest.source, manifest.licence) == ("local folder small-bert", "apache-2.0")
    assert "The licence of the small model." in imported.folder.file("LICENCE.txt").read_text()
    assert 0.98 < imported.cosine < 1


def test_no_path_of_this_machine_in_the_folder(small_bert, tmp_path):
    folder = import_model(str(small_bert), tmp_path / "models").folder
    for file in folder.path.iterdir():
        assert str(small_bert.parent).encode() not in file.read_bytes()
        assert str(tmp_path).encode() not in file.read_bytes()


def test_twice_gives_the_same_checksum(small_bert, tmp_path):
    checksums = {
        import_model(str(small_bert), tmp_path / name, name=name).folder.manifest.checksum
        for name in ("one", "other")
    }
    assert len(checksums) == 1


def test_readable_by_the_server(small_bert, tmp_path):
    before = os.umask(0o077)
    try:
        folder = import_model(str(small_bert), tmp_path / "models").folder
    finally:
        os.umask(before)
    for path in (tmp_path / "models", folder.path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.path.iterdir()} == {0o644}


def test_again_replaces(small_bert, tmp_path):
    models_dir = tmp_path / "models"
    first = import_model(str(small_bert), models_dir, name="m", precision="fp32")
    vector = open_provider(first.folder).embed("reset")
    other = write_small_bert(tmp_path / "other", seed=9)
    second = import_model(str(other), models_dir, name="m")
    assert _entries(models_dir) == ["m"]
    assert second.folder.path == first.folder.path
    assert second.folder.manifest.precision == "int8"
    assert abs(open_provider(second.folder).embed("reset") @ vector) < 0.9


def test_an_open_model_outlives_its_replacement(small_bert, tmp_path):
    models_dir = tmp_path / "models"
    provider = open_provider(import_model(str(small_bert), models_dir, name="m").folder)
    import_model(str(write_small_bert(tmp_path / "other", seed=9)), models_dir, name="m")
    fresh = open_provider(import_model(str(small_bert), tmp_path / "fresh", name="m").folder)
    text = "translate the paragraph"
    assert np.array_equal(provider.embed(text), fresh.embed(text))


def test_a_failed_import_leaves_what_was_there(small_bert, tmp_path, monkeypatch):
    models_dir = tmp_path / "models"
    before = import_model(str(small_bert), models_dir, name="m").folder.manifest

    def refuse(quantised, exact):
        raise InvalidArgumentError("too far off")

    monkeypatch.setattr(importer, "require_agreement", refuse)
    with pytest.raises(InvalidArgumentError, match="too far off"):
        import_model(str(write_small_bert(tmp_path / "other", seed=9)), models_dir, name="m")
    assert _entries(models_dir) == ["m"]
    assert read_model_folder(models_dir / "m", verify="sha256").manifest == before


def test_interrupted_leaves_nothing(small_bert, tmp_path):
    class Impatient:
        def step(self, description):
            if description.startswith("writing"):
                raise KeyboardInterrupt

        def downloaded(self, total_bytes):
            raise AssertionError(total_bytes)

    with pytest.raises(KeyboardInterrupt):
        import_model(str(small_bert), tmp_path / "models", progress=Impatient())
    assert _entries(tmp_path / "models") == []


def test_disagreement_is_an_error(small_models):
    int8, fp32 = (open_provider(small_models / f"small-{p}") for p in ("int8", "fp32"))

    class Turned:
        name, dimension = "turned", int8.dimension

        def embed_batch(self, texts):
            return int8.embed_batch(texts)[:, ::-1]

    assert require_agreement(int8, fp32) > 0.98
    with pytest.raises(InvalidArgumentError, match='"turned" loses too much in int8') as caught:
        require_agreement(Turned(), fp32)
    assert "--precision fp32" in caught.value.hint


def test_bad_names(small_bert, tmp_path):
    with pytest.raises(InvalidArgumentError, match="is not valid"):
        import_model(str(small_bert), tmp_path / "models", name="../m")
    with pytest.raises(UnknownObjectError, match='"no-such-model" is neither') as caught:
        import_model("no-such-model", tmp_path / "models")
    assert "owner/name" in caught.value.hint
    assert not (tmp_path / "models").exists() or _entries(tmp_path / "models") == []


def test_a_models_folder_that_cannot_be(small_bert, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingFileError, match="cannot be written"):
        import_model(str(small_bert), tmp_path / "file" / "models")
