import dataclasses
import json
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.embedding.model_folder import (
    Manifest,
    find_model,
    list_model_names,
    read_model_folder,
    record_files,
    require_known_model,
    validate_model_name,
    write_manifest,
)
from tiny_dancer.errors import InvalidArgumentError, MissingFileError, UnknownObjectError


@pytest.fixture
def model(tmp_path):
    """A folder with two files and a manifest."""
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "LICENCE.txt").write_text("free")
    manifest = Manifest(
        name="tiny",
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
    return folder


def _edit(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _fails(folder, match, verify="size"):
    with pytest.raises(MissingFileError, match=match) as caught:
        read_model_folder(folder, verify=verify)
    assert caught.value.hint == "Run on this host: tiny-dancer model import tiny"
    assert caught.value.sqlstate == "58P01"


def test_what_is_written_is_read(model):
    for verify in ("size", "sha256"):
        read = read_model_folder(model, verify=verify)
        assert read.manifest.files.keys() == {"model.onnx", "LICENCE.txt"}
        assert read.manifest.files["model.onnx"].bytes == 5
        assert read.size_bytes == 9
        assert read.file("model.onnx").read_bytes() == b"graph"


def test_no_folder(tmp_path):
    _fails(tmp_path / "tiny", 'model "tiny" is not on this host')


def test_no_manifest(model):
    (model / "model.json").unlink()
    _fails(model, 'model "tiny" is not on this host')


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"'])
def test_manifest_that_is_no_object(model, text):
    (model / "model.json").write_text(text)
    _fails(model, r"damaged: model.json is not")


def test_manifest_that_is_no_text(model):
    (model / "model.json").write_bytes(b"\xff\xfe\x00")
    _fails(model, "damaged: model.json is not JSON")


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Manifest)])
@pytest.mark.parametrize("value", [None, [], 1.5])
def test_a_field_of_another_type(model, field, value):
    _edit(model, **{field: value})
    _fails(model, "damaged: model.json has")


def test_a_later_format(model):
    _edit(model, format_version=2)
    _fails(model, "format version 2 and 1 is needed")


@pytest.mark.parametrize(("field", "value"), [("dimension", 0), ("max_tokens", -1)])
def test_numbers_that_cannot_be(model, field, value):
    _edit(model, **{field: value})
    _fails(model, "that cannot be")


def test_true_is_no_number(model):
    _edit(model, dimension=True)
    _fails(model, 'no usable "dimension"')


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", "..", ""])
def test_a_file_outside_the_folder(model, name):
    _edit(model, files={name: {"sha256": "0" * 64, "bytes": 1}})
    _fails(model, "bad entry for the file")


@pytest.mark.parametrize("record", [None, {}, {"sha256": "00", "bytes": 5}, {"sha256": "0" * 64}])
def test_a_bad_file_record(model, record):
    _edit(model, files={"model.onnx": record})
    _fails(model, 'bad entry for the file "model.onnx"')


def test_another_models_manifest(model):
    _edit(model, name="other")
    _fails(model, 'the manifest is of "other"')


def test_a_missing_file(model):
    (model / "model.onnx").unlink()
    _fails(model, r"damaged: model.onnx cannot be read \(No such file or directory\)")


def test_a_cut_short_file(model):
    (model / "model.onnx").write_bytes(b"gra")
    _fails(model, "model.onnx has 3 bytes instead of 5")


def test_changed_contents_of_the_same_size(model):
    (model / "model.onnx").write_bytes(b"grapH")
    assert read_model_folder(model, verify="size").manifest.name == "tiny"
    _fails(model, "model.onnx does not have the contents", verify="sha256")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(model):
    (model / "model.json").chmod(0)
    _fails(model, "Permission denied")


def test_a_file_that_the_manifest_does_not_list(model):
    with pytest.raises(MissingFileError, match=r"lists no tokenizer\.json"):
        read_model_folder(model).file("tokenizer.json")


def test_checksum_is_of_what_decides_the_vectors(model):
    manifest = read_model_folder(model).manifest
    files = dict(manifest.files)
    same = [{"name": "other"}, {"source": "hub"}, {"licence": "unknown"}]
    same.append({"files": {"model.onnx": files["model.onnx"]}})
    for change in same:
        assert dataclasses.replace(manifest, **change).checksum == manifest.checksum
    graph = dataclasses.replace(files["model.onnx"], sha256="0" * 64)
    different = [{"precision": "fp32"}, {"dimension": 9}, {"max_tokens": 17}, {"pooling": "cls"}]
    different += [{"files": files | {"model.onnx": graph}}, {"normalise": False}]
    checksums = {dataclasses.replace(manifest, **change).checksum for change in different}
    assert len(checksums | {manifest.checksum}) == len(different) + 1


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "a", "A_b.c-1", "x" * 100])
def test_valid_names(name):
    assert validate_model_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "a\\b", "a b", "é", "x" * 101, "a\n", "a\0", "~", "-a", "_a"],
)
def test_invalid_names(name, tmp_path):
    with pytest.raises(InvalidArgumentError, match="is not valid"):
        validate_model_name(name)
    with pytest.raises(InvalidArgumentError):
        find_model(tmp_path, name)


@given(st.text(min_size=1, max_size=20))
def test_a_valid_name_is_one_visible_folder(name):
    try:
        validate_model_name(name)
    except InvalidArgumentError:
        return
    assert os.path.basename(name) == name
    assert name.isascii()
    assert name[0].isalnum()


def test_listing(model):
    models_dir = model.parent
    (models_dir / ".importing-x").mkdir()
    (models_dir / "a-file").write_text("")
    shutil.copytree(model, models_dir / "another")
    assert list_model_names(models_dir) == ["another", "tiny"]
    assert list_model_names(models_dir / "nowhere") == []


def test_unknown_name_lists_the_known(model):
    with pytest.raises(UnknownObjectError, match='model "huge" is not in') as caught:
        require_known_model(model.parent, "huge")
    assert caught.value.detail == "Models there: tiny."
    assert require_known_model(model.parent, "tiny").path == model
