"""What is imported when: no database outside pg, no torch anywhere, no heavy start."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tiny_dancer

PACKAGE = Path(tiny_dancer.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(PACKAGE)], "tiny_dancer.")
    if not module.name.endswith("__main__")
)
# What only an extra brings may be imported where it is used, and nowhere at the top of a module.
EXTRAS = {"onnxruntime", "tokenizers", "onnx", "safetensors", "huggingface_hub", "hnswlib"}
NEVER = {"torch", "transformers", "sentence_transformers", "pickle", "shelve", "marshal"}


def top_level_imports(tree):
    """Names of the packages that importing a module imports, type checking left out."""
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]
        elif isinstance(node, (ast.Try, ast.With)):
            pending.extend(node.body)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            pending.extend([*node.body, *node.orelse])


def all_imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


def parsed(file):
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_module_imports_torch_or_unpickles(file):
    assert set(all_imports(parsed(file))) & NEVER == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_plpy_is_known_to_nobody(file):
    """The backend hands it in; a module that imported it could not be tested without a server."""
    assert "plpy" not in set(all_imports(parsed(file)))


def outside_pg():
    return [file for file in FILES if PACKAGE / "pg" not in file.parents]


def test_only_the_command_line_and_pg_know_pg():
    for file in outside_pg():
        if PACKAGE / "cli" in file.parents:
            continue
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("tiny_dancer.pg"), file
            if isinstance(node, ast.Import):
                assert not any(a.name.startswith("tiny_dancer.pg") for a in node.names), file


def test_psycopg_is_for_the_command_line():
    for file in FILES:
        if PACKAGE / "cli" not in file.parents:
            assert "psycopg" not in set(all_imports(parsed(file))), file


def test_extras_are_imported_where_they_are_used():
    for file in FILES:
        if PACKAGE / "embedding" / "importing" not in file.parents:
            assert set(top_level_imports(parsed(file))) & EXTRAS == set(), file


def run_python(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_imports_without_a_database_and_without_extras():
    """All modules outside pg, cli and the importer, in a process that refuses everything else."""
    wanted = [
        name
        for name in MODULES
        if not name.startswith(("tiny_dancer.pg", "tiny_dancer.cli", "tiny_dancer.embedding.imp"))
    ]
    forbidden = sorted(EXTRAS | NEVER - {"pickle"} | {"plpy", "psycopg"})
    run_python(
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({forbidden!r}))\n"
        f"for name in {wanted!r}: importlib.import_module(name)\n"
    )


def test_what_a_backend_loads_at_its_start():
    """The time and memory of every connection: nothing but NumPy beside the standard library."""
    loaded = run_python(
        "import sys, tiny_dancer.pg.extension\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    ).split()
    foreign = set(loaded) - set(sys.stdlib_module_names) - {"tiny_dancer", "numpy"}
    foreign = {name for name in foreign if not name.startswith(("_", "sitecustom", "usercustom"))}
    assert {name for name in foreign if name not in ("distutils-precedence",)} == set()
    assert not {"asyncio", "unittest", "email", "http", "importlib_metadata"} & set(loaded)


FIRST_DECISION = """
from tiny_dancer.pg.numpy_import import import_numpy
import_numpy()
import sys, numpy as np
from tiny_dancer.agents.agent import Agent
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.constraints import NO_DEMANDS
from tiny_dancer.request import Request
from tiny_dancer.router import Router
rows = np.eye(3, dtype=np.float32)[[0, 1, 0]]
agents = [Agent(name, embedding=row) for name, row in zip("abc", rows)]
Router(AgentRegistry(agents)).route(Request(5, rows[1]), NO_DEMANDS)
"""


def test_a_first_decision_imports_no_more_of_numpy_than_it_needs():
    """Of a new connection's 0.2 s, numpy.ma alone takes a tenth; np.unique would import it."""
    loaded = run_python(FIRST_DECISION + "print(*sorted(sys.modules))").split()
    assert not {"numpy.ma", "numpy.random", "numpy.fft", "numpy.polynomial"} & set(loaded)


def test_numpy_works_without_the_docstrings_of_its_compiled_functions():
    program = """
assert not np.ndarray.sum.__doc__ and np.mean.__doc__
import numpy.fft, numpy.ma, numpy.polynomial, numpy.random
assert np.ma.masked_invalid([1.0, np.nan]).sum() == 1.0
assert np.random.default_rng(0).random() < 1.0
assert np.unique([2, 1, 2]).tolist() == [1, 2]
"""
    run_python(FIRST_DECISION + program)


def test_numpy_is_not_imported_twice():
    program = """
import numpy as np
from tiny_dancer.pg.numpy_import import import_numpy
import_numpy()
assert np.ndarray.sum.__doc__
"""
    run_python(program)
