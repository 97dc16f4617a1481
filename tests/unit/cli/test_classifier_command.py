import sys

import pytest

from tiny_dancer.cli.__main__ import main
from tiny_dancer.embedding import model_folder, provider
from tiny_dancer.embedding.hashing import HashingProvider
from tiny_dancer.starting_corpus import evaluation, load


@pytest.fixture
def hashed_model(monkeypatch):
    """Any model name opens a provider that needs no files."""
    opened = []
    monkeypatch.setattr(
        model_folder, "find_model", lambda directory, name: opened.append((directory, name))
    )
    monkeypatch.setattr(provider, "open_provider", lambda folder: HashingProvider())
    return opened


def test_it_prints_the_evaluation_of_the_vectors_of_the_model(
    hashed_model, monkeypatch, capsys, tmp_path
):
    given = []

    def evaluate(requests, embeddings, *, progress):
        progress(1, 2, 0.5)
        given.append((requests, embeddings))
        return "measured"

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    monkeypatch.setattr(evaluation, "report", lambda measured: [measured, "line"])
    arguments = ["--models-dir", str(tmp_path), "--model", "mine"]
    assert main(["classifier", "evaluate", *arguments]) == 0
    assert capsys.readouterr().out == "measured\nline\n"
    assert hashed_model == [(tmp_path, "mine")]
    ((requests, embeddings),) = given
    assert requests == load()
    assert embeddings.shape == (len(requests), 384)
    assert (embeddings[7] == HashingProvider().embed(requests[7].text)).all()


def test_a_model_that_is_not_there(capsys, tmp_path):
    assert main(["classifier", "evaluate", "--models-dir", str(tmp_path)]) == 1
    assert 'model "all-MiniLM-L6-v2" is not on this host' in capsys.readouterr().err


def test_without_the_extra(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["classifier", "evaluate", "--models-dir", str(tmp_path)]) == 1
    assert 'pip install "tiny-dancer[cli]"' in capsys.readouterr().err
