"""The corpus is well-formed, and from any vectors that mean something the classifiers learn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tiny_dancer.classifier import ClassifierSettings
from tiny_dancer.embedding.hashing import HashingProvider
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.starting_corpus import capabilities, corpus, evaluation, kinds, load
from tiny_dancer.starting_corpus.evaluation import evaluate, report
from tiny_dancer.starting_corpus.starting_classifiers import fit_starting_classifiers
from tiny_dancer.training.encoder_training import Descent

QUICK = ClassifierSettings(
    hidden_dim=64, seeds=1, descent=Descent(learning_rate=5e-3, epochs=25, dropout=0.2)
)


@pytest.fixture(scope="module")
def requests():
    return load()


@pytest.fixture(scope="module")
def embeddings(requests):
    return np.array(HashingProvider().embed_batch([request.text for request in requests]))


def test_every_kind_has_at_least_sixty_requests_and_a_fifth_held_out(requests):
    counts = Counter(request.kind for request in requests)
    held_out = Counter(request.kind for request in requests if request.held_out)
    assert 12 <= len(counts) <= 16
    assert min(counts.values()) >= 60
    for kind, count in counts.items():
        assert held_out[kind] / count == pytest.approx(0.2, abs=0.01)


def test_no_request_twice_and_none_empty(requests):
    texts = [" ".join(request.text.lower().split()) for request in requests]
    assert len(set(texts)) == len(texts)
    assert all(text == text.strip() and text for text in texts)


def test_held_out_requests_are_no_rewordings(requests):
    # Words that two requests share, as a share of the words of both.
    words = [frozenset(request.text.lower().split()) for request in requests]
    training = [w for w, request in zip(words, requests, strict=True) if not request.held_out]
    for own, request in zip(words, requests, strict=True):
        if request.held_out and len(own) > 3:
            assert max(len(own & other) / len(own | other) for other in training) < 0.7, request


def test_capabilities_are_names_that_agents_use(requests):
    names = capabilities(requests)
    assert {"reasoning", "code", "analysis", "creative", "classification"} <= set(names)
    counts = Counter(name for request in requests for name in request.capabilities)
    assert min(counts.values()) >= 15
    for name in names:
        assert name == name.lower().strip()
        assert any(name in r.capabilities and r.held_out for r in requests)


def test_split_selects(requests):
    assert load(held_out=True) == [request for request in requests if request.held_out]
    assert load(held_out=False) == [request for request in requests if not request.held_out]
    assert len(kinds(requests)) == len({request.kind for request in requests})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kind\trequest\n",
        "split\tkind\tcapabilities\trequest\ntraining\tcode\tcode\n",
        "split\tkind\tcapabilities\trequest\nelsewhere\tcode\tcode\tWrite it\n",
        "split\tkind\tcapabilities\trequest\ntraining\tcode\t\tWrite it\n",
    ],
)
def test_damaged_files(monkeypatch, tmp_path, text):
    (tmp_path / "requests.tsv").write_text(text)
    monkeypatch.setattr(corpus, "files", lambda package: tmp_path)
    with pytest.raises(corpus.MissingFileError, match="cannot be read"):
        load()


def test_missing_file(monkeypatch, tmp_path):
    monkeypatch.setattr(corpus, "files", lambda package: tmp_path)
    with pytest.raises(corpus.MissingFileError, match=r"requests\.tsv"):
        load()


def test_classifiers_learn_from_it(requests, embeddings):
    # Hashed characters know no meaning, yet the commonest kind alone would give 8 %, and the base
    # rates of the capabilities, all below a half, an F1 of 0.
    measured = evaluate(requests, embeddings, settings=QUICK)
    assert measured.accuracy > 0.35
    assert measured.top_three > measured.accuracy
    assert measured.f1 > 0.2
    assert measured.training_rows + measured.held_out_rows == len(requests)
    printed = "\n".join(report(measured))
    assert f"{100 * measured.accuracy:.1f} %" in printed
    assert f"{100 * measured.f1:.1f} %" in printed


def test_evaluation_never_trains_on_what_is_held_out(monkeypatch, requests, embeddings):
    trained_on = []

    def recording(rows, vectors, **options):
        trained_on.append((rows, vectors))
        return fit_starting_classifiers(rows, vectors, **options)

    monkeypatch.setattr(evaluation, "fit_starting_classifiers", recording)
    evaluate(requests, embeddings, settings=QUICK)
    ((rows, vectors),) = trained_on
    assert rows == load(held_out=False)
    in_training = [not request.held_out for request in requests]
    assert (vectors == embeddings[in_training]).all()


def test_rows_must_fit(requests, embeddings):
    with pytest.raises(InvalidArgumentError, match="embeddings for"):
        fit_starting_classifiers(requests, embeddings[:-1], settings=QUICK)
