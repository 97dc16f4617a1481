"""Damaged weights, models and libraries: a clear error each, and what needs them not works."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager

import pytest
from cluster import BINDIR, UNSAFE, Cluster, library_of, models_of, own_programs
from refusal import refused
from registration import call, explain, register, register_four, route
from training import train_quickly

import tiny_dancer

MODEL = "all-MiniLM-L6-v2"
EMBEDDING = [1.0] + [0.0] * 383


@pytest.fixture(scope="module")
def cluster():
    made = Cluster("damaged", 5437, own_programs("damaged-server"))
    shutil.copytree(models_of(BINDIR) / MODEL, made.models / MODEL)
    made.create(**UNSAFE).start()
    with made.create_database(MODEL, "onnx") as session:
        register_four(session)
        train_quickly(session)
    yield made
    made.remove()


@pytest.fixture
def session(cluster):
    with cluster.connect() as opened:
        yield opened


@pytest.fixture
def another(cluster):
    """Open one more session, which has loaded nothing yet."""
    opened = []

    def connect():
        opened.append(cluster.connect())
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def works_without_text(session):
    """What a decision needs that brings its embedding along."""
    assert route(session, embedding=EMBEDDING).agent_name
    assert explain(session, embedding=EMBEDDING)
    assert register(session, "new", capability_embedding=EMBEDDING)
    assert call(session, "ruvector_record_usage", agent="new", actual_cost=0.1, success=True)
    assert call(session, "ruvector_remove_agent", name="new")
    assert call(session, "ruvector_routing_analytics")


@contextmanager
def moved_away(path):
    hidden = path.with_name(f"{path.name}.away")
    path.rename(hidden)
    try:
        yield
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        hidden.rename(path)


DAMAGES_OF_WEIGHTS = {
    "a flipped bit": "set_bit(weights, 5 * octet_length(weights), 1 - get_bit(weights, 5 *"
    " octet_length(weights)))",
    "cut short": "substring(weights FROM 1 FOR octet_length(weights) / 2)",
    "empty": "''",
    "something else": "decode(repeat('00ff', 5000), 'hex')",
    "a byte too many": r"weights || '\x00'",
}


@pytest.mark.parametrize("damage", DAMAGES_OF_WEIGHTS)
def test_damaged_weights_of_a_classifier(session, damage):
    changed = DAMAGES_OF_WEIGHTS[damage]
    session.execute("CREATE TEMP TABLE kept AS TABLE tiny_dancer.classifiers")
    session.execute(f"UPDATE tiny_dancer.classifiers SET weights = {changed} WHERE active")
    for function in ("ruvector_classify_request", "ruvector_classify_capabilities"):
        with refused("XX001", "classifier", hint="Train|train"):
            call(session, function, request="hello")
    works_without_text(session)
    assert route(session)
    session.execute(
        "UPDATE tiny_dancer.classifiers c SET weights = k.weights FROM kept k WHERE k.id = c.id"
    )
    session.execute("DROP TABLE kept")
    assert call(session, "ruvector_classify_request", request="hello")


def test_weights_are_trained_anew(session):
    session.execute("UPDATE tiny_dancer.classifiers SET weights = '' WHERE active")
    train_quickly(session)
    assert call(session, "ruvector_classify_request", request="hello")


def cut_short(path):
    path.write_bytes(path.read_bytes()[:100])


DAMAGES_OF_A_MODEL = {
    "no folder": shutil.rmtree,
    "no weights": lambda folder: (folder / "model.onnx.data").unlink(),
    "no manifest": lambda folder: (folder / "model.json").unlink(),
    "weights cut short": lambda folder: cut_short(folder / "model.onnx.data"),
    "graph cut short": lambda folder: cut_short(folder / "model.onnx"),
    "manifest cut short": lambda folder: cut_short(folder / "model.json"),
    "tokenizer cut short": lambda folder: cut_short(folder / "tokenizer.json"),
}


@pytest.mark.parametrize("damage", DAMAGES_OF_A_MODEL)
def test_a_damaged_model(cluster, session, another, damage):
    folder = cluster.models / MODEL
    before = explain(session)
    fresh = another()
    with moved_away(folder):
        shutil.copytree(folder.with_name(f"{MODEL}.away"), folder)
        DAMAGES_OF_A_MODEL[damage](folder)
        with refused("58P01", MODEL, hint=f"tiny-dancer model import {MODEL}"):
            route(fresh)
        works_without_text(fresh)
        assert [row.subject for row in call(fresh, "tiny_dancer.doctor") if not row.ok] == [
            "embedding model"
        ]
        # A session that holds the model goes on with it.
        assert explain(session) == before
    assert explain(fresh) == before


def no_numpy(library):
    shutil.rmtree(library / "numpy")


def of_another_version(library):
    replace(library / "tiny_dancer" / "__init__.py", tiny_dancer.__version__, "0.0.1")


def broken(library):
    replace(library / "tiny_dancer" / "router.py", "class Router", "class ?")


def replace(path, old, new):
    """Change a file that other folders share by a link: by another one in its place."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.unlink()
    path.write_text(text.replace(old, new), encoding="utf-8")
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)


DAMAGES_OF_THE_LIBRARY = {
    "missing": (shutil.rmtree, "58P01"),
    "without NumPy": (no_numpy, "58P01"),
    "not Python": (broken, "58P01"),
    "of another version": (of_another_version, "55000"),
}


@pytest.mark.parametrize("damage", DAMAGES_OF_THE_LIBRARY)
def test_a_damaged_library(cluster, session, another, damage):
    harm, sqlstate = DAMAGES_OF_THE_LIBRARY[damage]
    library = library_of(cluster.bindir) / tiny_dancer.__version__
    before = explain(session)
    with moved_away(library):
        shutil.copytree(library.with_name(f"{library.name}.away"), library, copy_function=os.link)
        harm(library)
        fresh = another()
        for _ in range(2):
            with refused(sqlstate, tiny_dancer.__version__, hint="make install"):
                route(fresh)
        # What is plain SQL needs no library.
        usage = {"agent": "gpt-4", "actual_cost": 0.1, "success": True}
        assert call(fresh, "ruvector_record_usage", **usage)
        assert call(fresh, "ruvector_routing_analytics")
        assert call(fresh, "ruvector_list_agents")
        # A session that holds the library goes on with it.
        assert explain(session).keys() == before.keys()
    assert explain(another()).keys() == before.keys()
