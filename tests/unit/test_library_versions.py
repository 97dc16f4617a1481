"""One version of the library at a time in a process; an error brings the other one back."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import tiny_dancer
from tiny_dancer.pg import boot, library

CHECKOUT = Path(tiny_dancer.__file__).parents[1]


def make_version(folder, version, body="", numpy="2.0.0"):
    """Make a folder as make install does, of a package that says its version."""
    package = folder / version / "tiny_dancer"
    (package / "pg").mkdir(parents=True)
    (package / "__init__.py").write_text(f"__version__ = {version!r}\n")
    (package / "pg" / "__init__.py").write_text("")
    (package / "pg" / "boot.py").write_text(
        "import tiny_dancer\n"
        f"{body}\n"
        "def start(plpy, version, bodies=None): return tiny_dancer.__version__\n"
    )
    source = Path(library.__file__).read_text(encoding="utf-8")
    (package / "pg" / "library.py").write_text(source, encoding="utf-8")
    for name, release in (("numpy", numpy), ("tokenizers", "1.0")):
        (folder / version / f"{name}-{release}.dist-info").mkdir()


LOAD = """
import importlib.util, os, sys
def load(version, bodies):
    spec = importlib.util.spec_from_file_location(
        "tiny_dancer_library", os.path.join(sys.argv[1], version, "tiny_dancer/pg/library.py"))
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module.load(None, version, bodies)
def folders(): return [p for p in sys.path if p.startswith(sys.argv[1])]
bodies = {"mine": 1}
assert load("1.0", bodies)
first = sys.modules["tiny_dancer"]
"""


def run(folder, program):
    done = subprocess.run(
        [sys.executable, "-c", LOAD + program, str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_version_takes_the_place_of_another(tmp_path):
    for version in ("1.0", "2.0"):
        make_version(tmp_path, version)
    run(
        tmp_path,
        """
assert bodies == {"mine": 1, "tiny_dancer/1.0": "1.0"}
assert load("2.0", bodies)
assert bodies == {"mine": 1, "tiny_dancer/2.0": "2.0"}
assert sys.modules["tiny_dancer"].__version__ == "2.0"
assert folders() == [os.path.join(sys.argv[1], "2.0")]
assert load("1.0", bodies)
assert bodies == {"mine": 1, "tiny_dancer/1.0": "1.0"}
assert folders() == [os.path.join(sys.argv[1], "1.0")]
""",
    )


@pytest.mark.parametrize("body", ["1 / 0", "import no_such_package", "raise SystemExit"])
def test_a_version_that_can_not_start_leaves_the_other_as_it_was(tmp_path, body):
    make_version(tmp_path, "1.0")
    make_version(tmp_path, "2.0", body)
    run(
        tmp_path,
        """
before = {name for name in sys.modules if name.startswith("tiny_dancer")}
try:
    load("2.0", bodies)
except BaseException as error:
    assert type(error).__name__ in ("ZeroDivisionError", "ModuleNotFoundError", "SystemExit")
else:
    raise AssertionError("it started")
assert bodies == {"mine": 1, "tiny_dancer/1.0": "1.0"}
assert sys.modules["tiny_dancer"] is first
assert {name for name in sys.modules if name.startswith("tiny_dancer")} == before
assert folders() == [os.path.join(sys.argv[1], "1.0")]
""",
    )


def hold(monkeypatch, package, folder):
    module = SimpleNamespace(__file__=str(folder / package / "__init__.py"))
    monkeypatch.setitem(sys.modules, package, module)


def test_other_releases_of_compiled_packages_are_found(tmp_path, monkeypatch):
    for version, numpy in (("1.0", "2.0.0"), ("2.0", "2.0.0"), ("3.0", "2.1.0")):
        make_version(tmp_path, version, numpy=numpy)
    for package in ("numpy", "tokenizers"):
        hold(monkeypatch, package, tmp_path / "1.0")
    found = {v: library.foreign_packages(str(tmp_path / v)) for v in ("1.0", "2.0", "3.0", "4.0")}
    assert found == {"1.0": [], "2.0": [], "3.0": ["numpy"], "4.0": []}
    # The system's own, which every version shares.
    hold(monkeypatch, "numpy", tmp_path.parent / "dist-packages")
    assert library.foreign_packages(str(tmp_path / "3.0")) == []


class FakePlpy:
    class Error(Exception):
        pass


def test_a_session_that_can_not_change_over_is_told_to_reconnect(tmp_path, monkeypatch):
    make_version(tmp_path, "1.0")
    make_version(tmp_path, "3.0", numpy="2.1.0")
    hold(monkeypatch, "numpy", tmp_path / "1.0")
    with pytest.raises(FakePlpy.Error, match="can not change over to version 3") as caught:
        boot.refuse_other_releases(FakePlpy, "3.0", str(tmp_path / "3.0"))
    assert (caught.value.sqlstate, caught.value.hint) == ("55000", "Reconnect.")
    assert "numpy" in caught.value.detail
    boot.refuse_other_releases(FakePlpy, "1.0", str(tmp_path / "1.0"))
