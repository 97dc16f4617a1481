"""A model on disk: a folder with a manifest, its files, and one checksum for the whole.

::

    all-MiniLM-L6-v2/
        model.json        the manifest, written last
        model.onnx        the graph
        model.onnx.data   the weights, a file of their own so that they can be memory-mapped
        tokenizer.json
        LICENCE.txt

A backend checks the files' sizes only: 0.14 ms. Reading 24 MB through sha256 took 21 ms on
a CPU with instructions for it, and every new connection would pay that; a cut-short or
missing file, which is what happens, shows in the size. The CLI checks the full sha256.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tiny_dancer.errors import InvalidArgumentError, MissingFileError, UnknownObjectError, shown

FORMAT_VERSION = 1
MANIFEST_FILE = "model.json"
LICENCE_FILE = "LICENCE.txt"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileRecord:
    """One file of a model.

    Attributes:
        sha256: digest of its contents, hexadecimal.
        bytes: its size.
    """

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What ``model.json`` says.

    Attributes:
        name: the model's name, equal to the folder's.
        provider: which provider opens it, such as ``onnx``.
        precision: of the weights, ``int8`` or ``fp32``.
        dimension: length of the vectors.
        max_tokens: the model's window, special tokens included; 0 where it has none.
        pooling: how token vectors become one, ``mean`` or ``cls``.
        normalise: whether the vectors have unit norm.
        source: where the weights came from.
        licence: of the weights, as their source states it (an SPDX id where it gives one).
        files: what the folder holds beside the manifest, by file name.
        format_version: of the manifest itself.
    """

    name: str
    provider: str
    precision: str
    dimension: int
    max_tokens: int
    pooling: str
    normalise: bool
    source: str
    licence: str
    files: Mapping[str, FileRecord]
    format_version: int = FORMAT_VERSION

    @property
    def checksum(self) -> str:
        """Digest of all that decides the vectors, hexadecimal.

        Source, licence and name are left out: the same weights from another place give
        the same vectors, so they are the same model to a database.
        """
        files = {name: record.sha256 for name, record in self.files.items() if name != LICENCE_FILE}
        settings = {
            key: getattr(self, key)
            for key in ("provider", "precision", "dimension", "max_tokens", "pooling", "normalise")
        }
        canonical = json.dumps([settings, files], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class ModelFolder:
    """A model whose manifest was read and whose files were checked.

    Attributes:
        path: the folder.
        manifest: what its ``model.json`` says.
    """

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """Path of one of the model's files.

        Raises:
            MissingFileError: the manifest does not list it.
        """
        if name not in self.manifest.files:
            raise _damaged(self.path, f"the manifest lists no {name}")
        return self.path / name

    @property
    def size_bytes(self) -> int:
        """Size of all the model's files."""
        return sum(record.bytes for record in self.manifest.files.values())


def validate_model_name(name: str) -> str:
    """Refuse a name that could not be a folder of its own.

    Args:
        name: letters, digits, ``.``, ``_`` and ``-``, at most 100, the first a letter or
            a digit.

    Returns:
        The same name.

    Raises:
        InvalidArgumentError: the name is anything else.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidArgumentError(
            f"model name {shown(name)} is not valid",
            hint="Use a letter or digit, then letters, digits, dots, underscores and hyphens.",
        )
    return name


def find_model(
    models_dir: Path, name: str, *, verify: Literal["size", "sha256"] = "size"
) -> ModelFolder:
    """Read the model of a name.

    Args:
        models_dir: the folder that holds the models.
        name: the model's name.
        verify: how its files are checked.

    Returns:
        The model.

    Raises:
        InvalidArgumentError: the name is not valid.
        MissingFileError: the model, or one of its files, is missing or damaged.
    """
    return read_model_folder(models_dir / validate_model_name(name), verify=verify)


def read_model_folder(path: Path, *, verify: Literal["size", "sha256"] = "size") -> ModelFolder:
    """Read a model's manifest and check its files.

    Args:
        path: the model's folder.
        verify: ``size`` compares sizes, ``sha256`` also contents.

    Returns:
        The model.

    Raises:
        MissingFileError: the manifest or a file is missing or damaged; the message names it,
            the hint the command that brings it.
    """
    manifest = _read_manifest(path)
    if manifest.name != path.name:
        raise _damaged(path, f'the manifest is of "{manifest.name}"')
    for name, record in manifest.files.items():
        _check_file(path, name, record, contents=verify == "sha256")
    return ModelFolder(path, manifest)


def list_model_names(models_dir: Path) -> list[str]:
    """Name the models in a folder, whether they are whole or not.

    Args:
        models_dir: the folder that holds the models.

    Returns:
        Names in alphabetical order; none where the folder does not exist.
    """
    if not models_dir.is_dir():
        return []
    return sorted(
        entry.name
        for entry in models_dir.iterdir()
        if _NAME.fullmatch(entry.name) and entry.is_dir()
    )


def require_known_model(models_dir: Path, name: str) -> ModelFolder:
    """Read a model that the user chose by name.

    Args:
        models_dir: the folder that holds the models.
        name: the model's name.

    Returns:
        The model.

    Raises:
        UnknownObjectError: no folder has that name; the detail lists those there are.
        MissingFileError: the model is damaged.
    """
    known = list_model_names(models_dir)
    if validate_model_name(name) not in known:
        raise UnknownObjectError(
            f'model "{name}" is not in {models_dir}',
            detail=f"Models there: {', '.join(known) or 'none'}.",
            hint=_import_hint(name),
        )
    return find_model(models_dir, name)


def record_files(path: Path) -> dict[str, FileRecord]:
    """Digest every file of a folder that is to become a model.

    Args:
        path: the folder, without a manifest yet.

    Returns:
        The records by file name.
    """
    names = sorted(entry.name for entry in path.iterdir() if entry.name != MANIFEST_FILE)
    return {name: FileRecord(_sha256(path / name), (path / name).stat().st_size) for name in names}


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write ``model.json``.

    Args:
        path: the model's folder.
        manifest: what to write.
    """
    validate_model_name(manifest.name)
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True)
    (path / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def _read_manifest(path: Path) -> Manifest:
    try:
        fields = json.loads((path / MANIFEST_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError(
            f'model "{path.name}" is not on this host',
            detail=f"There is no {path / MANIFEST_FILE}.",
            hint=_import_hint(path.name),
        ) from None
    except OSError as error:
        raise _damaged(path, f"{MANIFEST_FILE} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _damaged(path, f"{MANIFEST_FILE} is not JSON") from error
    return _parse_manifest(path, fields)


def _parse_manifest(path: Path, fields: object) -> Manifest:
    if not isinstance(fields, dict):
        raise _damaged(path, f"{MANIFEST_FILE} is not a JSON object")
    version = fields.get("format_version")
    if version != FORMAT_VERSION:
        raise _damaged(
            path, f"{MANIFEST_FILE} has format version {version!r} and {FORMAT_VERSION} is needed"
        )
    kinds: dict[str, type] = dict.fromkeys(
        ("name", "provider", "precision", "pooling", "source", "licence"), str
    )
    kinds |= {"dimension": int, "max_tokens": int, "normalise": bool, "files": dict}
    for key, kind in kinds.items():
        if type(fields.get(key)) is not kind:
            raise _damaged(path, f'{MANIFEST_FILE} has no usable "{key}"')
    if fields["dimension"] < 1 or fields["max_tokens"] < 0:
        raise _damaged(path, f"{MANIFEST_FILE} has a dimension or max_tokens that cannot be")
    files = {name: _parse_record(path, name, record) for name, record in fields["files"].items()}
    return Manifest(**{key: fields[key] for key in kinds if key != "files"}, files=files)


def _parse_record(path: Path, name: str, record: object) -> FileRecord:
    plain = Path(name).name == name and name not in ("", ".", "..")
    match record:
        case {"sha256": str(sha256), "bytes": int(size)} if plain and _SHA256.fullmatch(sha256):
            return FileRecord(sha256, size)
    raise _damaged(path, f'{MANIFEST_FILE} has a bad entry for the file "{name}"')


def _check_file(path: Path, name: str, record: FileRecord, *, contents: bool) -> None:
    try:
        size = (path / name).stat().st_size
        if size != record.bytes:
            raise _damaged(path, f"{name} has {size} bytes instead of {record.bytes}")
        if contents and _sha256(path / name) != record.sha256:
            raise _damaged(path, f"{name} does not have the contents that were imported")
    except OSError as error:
        raise _damaged(path, f"{name} cannot be read ({error.strerror})") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damaged(path: Path, what: str) -> MissingFileError:
    return MissingFileError(
        f'model "{path.name}" is damaged: {what}',
        detail=f"The model's folder is {path}.",
        hint=_import_hint(path.name),
    )


def _import_hint(name: str) -> str:
    return f"Run on this host: tiny-dancer model import {name}"
