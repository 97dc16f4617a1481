"""Many texts through a model at once: the vectors that each would get alone."""

import threading
import time

import numpy as np
import pytest

from tiny_dancer.embedding.importing.architecture import read_architecture
from tiny_dancer.embedding.importing.importer import Conversion
from tiny_dancer.embedding.importing.progress import Silent
from tiny_dancer.embedding.importing.sources import fetch_model
from tiny_dancer.embedding.importing.teacher import OnnxTeacher, batches
from tiny_dancer.embedding.importing.weights import read_weights
from tiny_dancer.embedding.provider import open_provider

TEXTS = ["a", "reset my password", "b", "how do I write a function", "a b", "word " * 2000, "c d"]


@pytest.fixture(scope="module")
def folder(small_bert, tmp_path_factory):
    place = tmp_path_factory.mktemp("teacher")
    source = fetch_model(str(small_bert), place, Silent())
    architecture = read_architecture(source.path)
    return Conversion(source, architecture, read_weights(source.path), "small").write_teacher(place)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_text_among_others_has_the_vector_it_has_alone(folder, small_models, threads):
    heard = []
    texts = TEXTS * 20
    made = OnnxTeacher(folder, threads=threads).embed_all(texts, lambda *done: heard.append(done))
    alone = open_provider(small_models / "small-fp32", max_windows=1).embed_batch(texts)
    np.testing.assert_allclose(made, alone, atol=2e-6)
    counts = [done for done, _ in heard]
    assert counts == sorted(counts)
    assert heard[-1] == (len(texts), len(texts))


def test_the_vectors_do_not_depend_on_the_cores(folder):
    one, four = (OnnxTeacher(folder, threads=threads) for threads in (1, 4))
    texts = [f"{text} {i}" for i, text in enumerate(TEXTS * 20)]
    np.testing.assert_array_equal(
        one.embed_all(texts, lambda *_: None), four.embed_all(texts, lambda *_: None)
    )


def test_an_interrupt_ends_it_at_once_and_leaves_no_thread(folder):
    teacher = OnnxTeacher(folder, threads=2)

    def interrupt(done, total):
        assert done < total
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        teacher.embed_all([f"word {i} " * 40 for i in range(3000)], interrupt)
    assert time.monotonic() - began < 10.0
    assert not [t for t in threading.enumerate() if t.name.startswith("teacher")]


def test_only_texts_of_one_length_are_together_and_none_is_left_out():
    lengths = [int(n) for n in np.random.default_rng(1).integers(1, 600, 500)] + [3] * 100
    found = list(batches(lengths))
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    for batch in found:
        assert len({lengths[place] for place in batch}) == 1
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= 256
    assert max(map(len, found)) == 32
