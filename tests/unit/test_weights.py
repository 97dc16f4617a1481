"""Weights at rest: whatever is changed in them is found and named."""

from __future__ import annotations

import copy
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny_dancer.errors import InvalidArgumentError, TinyDancerError
from tiny_dancer.fastgrnn import FastGRNNForm, FastGRNNWeights
from tiny_dancer.weights import DamagedWeightsError, from_blob, pack, to_blob, unpack

TENSORS = {
    "first": np.arange(6, dtype=np.float32).reshape(2, 3),
    "empty": np.zeros((0, 4), np.float32),
    "second": np.array([-1.5, 0.25], np.float32),
}


def test_round_trip_through_json():
    manifest, raw = pack(TENSORS)
    back = unpack(json.loads(json.dumps(manifest)), raw)
    assert list(back) == list(TENSORS)
    for name, tensor in TENSORS.items():
        assert back[name].dtype == np.float32
        assert back[name].shape == tensor.shape
        assert (back[name] == tensor).all()
        assert not back[name].flags.writeable


def test_bytes_are_little_endian_whatever_the_array():
    manifest, raw = pack({"a": np.array([[1.0, 2.0], [3.0, 4.0]]).astype(">f4").T})
    assert np.frombuffer(raw, "<f4").tolist() == [1.0, 3.0, 2.0, 4.0]
    assert unpack(manifest, raw)["a"].tolist() == [[1.0, 3.0], [2.0, 4.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_packing_what_is_not_finite_in_float32(bad):
    with np.errstate(over="ignore"), pytest.raises(InvalidArgumentError, match="'bad'"):
        pack({"good": np.ones(2, np.float32), "bad": np.array([bad])})


def test_a_changed_byte_names_the_tensor_and_the_row():
    manifest, raw = pack(TENSORS)
    for place, name in ((3, "first"), (23, "first"), (24, "second")):
        damaged = bytearray(raw)
        damaged[place] ^= 1
        with pytest.raises(DamagedWeightsError, match=f"model 7, tensor {name} is damaged"):
            unpack(manifest, bytes(damaged), where="model 7")


@pytest.mark.parametrize("change", [lambda r: r[:-1], lambda r: r + b"\0", lambda r: b""])
def test_bytes_of_another_length(change):
    manifest, raw = pack(TENSORS)
    with pytest.raises(DamagedWeightsError, match=r"model 7 is damaged: .* bytes instead of 32"):
        unpack(manifest, change(raw), where="model 7")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format=2),
        lambda m: m.pop("format"),
        lambda m: m.pop("tensors"),
        lambda m: m.pop("sha256"),
        lambda m: m.update(sha256="0" * 64),
        lambda m: m["tensors"][0].update(shape=[3, 3]),
        lambda m: m["tensors"][0].update(shape=[-2, -3]),
        lambda m: m["tensors"][0].update(shape=None),
        lambda m: m["tensors"][0].update(sha256="0" * 64),
        lambda m: m["tensors"][0].pop("name"),
        lambda m: m["tensors"].reverse(),
        lambda m: m.update(tensors=5),
    ],
)
def test_a_changed_manifest(change):
    manifest, raw = pack(TENSORS)
    changed = copy.deepcopy(manifest)
    change(changed)
    with pytest.raises(DamagedWeightsError, match="model 7") as raised:
        unpack(changed, raw, where="model 7")
    assert raised.value.sqlstate == "XX001"


def test_stored_nan_is_refused_even_with_a_fitting_checksum():
    raw = np.array([np.nan], "<f4").tobytes()
    checksum = hashlib.sha256(raw).hexdigest()
    manifest = {
        "format": 1,
        "sha256": checksum,
        "tensors": [{"name": "a", "shape": [1], "sha256": checksum}],
    }
    with pytest.raises(DamagedWeightsError, match=r"tensor a is damaged: .* not finite"):
        unpack(manifest, raw)


def test_blob_round_trip():
    tensors, description = from_blob(to_blob(TENSORS, {"classes": ["a", "ü"], "t": 1.5}))
    assert description == {"classes": ["a", "ü"], "t": 1.5}
    assert all((tensors[name] == TENSORS[name]).all() for name in TENSORS)


def test_blob_is_a_safetensors_file():
    safetensors = pytest.importorskip("safetensors.numpy")
    read = safetensors.load(to_blob(TENSORS, {"classes": []}))
    assert all((read[name] == TENSORS[name]).all() for name in TENSORS)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_change_to_a_blob_is_found(data):
    blob = to_blob({"a": TENSORS["first"]}, {"classes": ["x", "y"]})
    place = data.draw(st.integers(0, len(blob) - 1))
    value = data.draw(st.integers(1, 255))
    damaged = bytearray(blob)
    damaged[place] ^= value
    try:
        tensors, description = from_blob(bytes(damaged))
    except DamagedWeightsError:
        return
    # The change hit what only other tools read: the meaning is the same.
    assert (tensors["a"] == TENSORS["first"]).all()
    assert description == {"classes": ["x", "y"]}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_no_blob(noise):
    with pytest.raises(TinyDancerError):
        from_blob(noise)


def test_truncated_blob():
    blob = to_blob(TENSORS, {})
    for length in range(len(blob)):
        with pytest.raises(DamagedWeightsError):
            from_blob(blob[:length])


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("form"),
        lambda m: m["form"].update(hidden_dim=3),
        lambda m: m["form"].update(tied=True),
        lambda m: m["form"].update(colour="red"),
        lambda m: m.update(trained_on="guessed"),
        lambda m: m.update(form=None),
    ],
)
def test_a_cell_whose_description_was_changed(change):
    manifest, raw = FastGRNNWeights.initial(FastGRNNForm(3, 2)).to_raw()
    change(manifest)
    with pytest.raises(DamagedWeightsError, match="model 7"):
        FastGRNNWeights.from_raw(manifest, raw, where="model 7")
