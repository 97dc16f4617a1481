"""Weights at rest: named float32 tensors as raw bytes, with shapes and checksums.

No pickle: a manifest of plain numbers and strings says what the bytes are, and nothing in
either is ever executed. The bytes are little-endian float32, row-major, one tensor after
the other. ``to_blob`` puts manifest and bytes into one file in the safetensors format, so
that other tools can read it (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError, TinyDancerError

Float32Array = NDArray[np.float32]
Manifest = dict[str, Any]

FORMAT = 1
"""Version of the manifest; a manifest of another version is refused."""

_STORED = np.dtype("<f4")
_HEADER_LIMIT = 16 * 1024 * 1024
_RETRAIN = "Train it again, or activate an earlier version."


class DamagedWeightsError(TinyDancerError):
    """Stored weights are not what was stored: PostgreSQL's data_corrupted (XX001)."""

    sqlstate = "XX001"


def pack(tensors: Mapping[str, Float32Array]) -> tuple[Manifest, bytes]:
    """Turn tensors into raw bytes and the manifest that describes them.

    Args:
        tensors: arrays by name; each is stored as float32 in the order given.

    Returns:
        The manifest (``json.dumps`` takes it) and the bytes. The manifest holds the shape
        and sha256 of each tensor and the sha256 of all bytes.

    Raises:
        InvalidArgumentError: a tensor holds NaN or an infinity.
    """
    parts: list[bytes] = []
    described: list[dict[str, Any]] = []
    for name, tensor in tensors.items():
        stored = np.asarray(tensor, dtype=_STORED)
        if not np.isfinite(stored).all():
            raise InvalidArgumentError(f"tensor {name!r} holds a value that is not finite")
        raw = stored.tobytes()
        described.append({"name": name, "shape": list(stored.shape), "sha256": _sha256(raw)})
        parts.append(raw)
    raw = b"".join(parts)
    return {"format": FORMAT, "tensors": described, "sha256": _sha256(raw)}, raw


def unpack(
    manifest: Mapping[str, Any], raw: bytes, *, where: str = "weights"
) -> dict[str, Float32Array]:
    """Turn raw bytes back into tensors, checking every one of them.

    Args:
        manifest: what ``pack`` returned; further keys are left alone.
        raw: the bytes that ``pack`` returned.
        where: what is being loaded ("model 7"), named in errors.

    Returns:
        Arrays by name, read-only.

    Raises:
        DamagedWeightsError: something does not fit; the message names ``where`` and the tensor.
    """
    described, checksum = _checked_manifest(manifest, where)
    expected = 4 * sum(math.prod(shape) for _, shape, _ in described)
    if len(raw) != expected:
        raise DamagedWeightsError(
            f"{where} is damaged: {len(raw)} bytes instead of {expected}", hint=_RETRAIN
        )
    tensors: dict[str, Float32Array] = {}
    offset = 0
    for name, shape, tensor_checksum in described:
        end = offset + 4 * math.prod(shape)
        tensors[name] = _tensor(raw[offset:end], shape, tensor_checksum, f"{where}, tensor {name}")
        offset = end
    if _sha256(raw) != checksum:
        # Each tensor fits its own checksum, so it is the manifest that was changed.
        raise DamagedWeightsError(
            f"{where} is damaged: the checksum of the whole differs from the manifest",
            hint=_RETRAIN,
        )
    return tensors


def to_blob(tensors: Mapping[str, Float32Array], description: Mapping[str, Any]) -> bytes:
    """Put tensors and a description into one safetensors file.

    Args:
        tensors: arrays by name.
        description: what else belongs to them; must be JSON.

    Returns:
        The bytes of the file.
    """
    manifest, raw = pack(tensors)
    manifest_text = json.dumps(manifest, sort_keys=True)
    description_text = json.dumps(description, sort_keys=True, allow_nan=False)
    header: dict[str, Any] = {
        "__metadata__": {
            "manifest": manifest_text,
            "description": description_text,
            "sha256": _sha256((manifest_text + description_text).encode()),
        }
    }
    offset = 0
    for entry in manifest["tensors"]:
        end = offset + 4 * math.prod(entry["shape"])
        header[entry["name"]] = {
            "dtype": "F32",
            "shape": entry["shape"],
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)  # the format wants the tensors aligned
    return len(text).to_bytes(8, "little") + text + raw


def from_blob(
    blob: bytes, *, where: str = "weights"
) -> tuple[dict[str, Float32Array], dict[str, Any]]:
    """Read back what ``to_blob`` wrote.

    Args:
        blob: the bytes of the file.
        where: what is being loaded, named in errors.

    Returns:
        The tensors and the description.

    Raises:
        DamagedWeightsError: the file is cut short, changed, or not one of ours.
    """
    length = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or length > min(len(blob) - 8, _HEADER_LIMIT):
        raise DamagedWeightsError(f"{where} is damaged: its header is cut short", hint=_RETRAIN)
    try:
        metadata = json.loads(blob[8 : 8 + length])["__metadata__"]
        text = metadata["manifest"] + metadata["description"]
        intact = _sha256(text.encode()) == metadata["sha256"]
        manifest = json.loads(metadata["manifest"])
        description = json.loads(metadata["description"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedWeightsError(
            f"{where} is damaged: its header cannot be read", hint=_RETRAIN
        ) from error
    if not (intact and isinstance(manifest, dict) and isinstance(description, dict)):
        raise DamagedWeightsError(
            f"{where} is damaged: its header differs from its checksum", hint=_RETRAIN
        )
    return unpack(manifest, blob[8 + length :], where=where), description


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _checked_manifest(
    manifest: Mapping[str, Any], where: str
) -> tuple[list[tuple[str, tuple[int, ...], str]], str]:
    """Read the manifest, or say what is wrong with it."""
    version = manifest.get("format")
    if version != FORMAT:
        raise DamagedWeightsError(
            f"{where} has manifest format {version!r}",
            detail=f"This version of the package reads format {FORMAT}.",
            hint=_RETRAIN,
        )
    try:
        described = [
            (str(entry["name"]), tuple(int(n) for n in entry["shape"]), str(entry["sha256"]))
            for entry in manifest["tensors"]
        ]
        checksum = str(manifest["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedWeightsError(
            f"{where} is damaged: its manifest cannot be read", hint=_RETRAIN
        ) from error
    if any(n < 0 for _, shape, _ in described for n in shape):
        raise DamagedWeightsError(
            f"{where} is damaged: its manifest holds a negative length", hint=_RETRAIN
        )
    return described, checksum


def _tensor(raw: bytes, shape: tuple[int, ...], checksum: str, where: str) -> Float32Array:
    """Read one tensor and check it."""
    if _sha256(raw) != checksum:
        raise DamagedWeightsError(
            f"{where} is damaged: its checksum differs from the manifest",
            detail=f"The manifest says {checksum}, the bytes say {_sha256(raw)}.",
            hint=_RETRAIN,
        )
    tensor = np.frombuffer(raw, dtype=_STORED).reshape(shape).astype(np.float32, copy=False)
    if not np.isfinite(tensor).all():
        raise DamagedWeightsError(
            f"{where} is damaged: it holds a value that is not finite", hint=_RETRAIN
        )
    tensor.setflags(write=False)
    return tensor
