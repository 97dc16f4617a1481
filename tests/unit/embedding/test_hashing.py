import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.embedding.hashing import HashingProvider
from tiny_dancer.errors import InvalidArgumentError

TEXT = "How do I reset the password of my account?"
words = st.text(st.characters(exclude_categories=["Cs", "Z", "C"]), min_size=1, max_size=40)


def test_the_same_in_another_process_with_another_string_hash():
    code = (
        "import sys; from tiny_dancer.embedding.hashing import HashingProvider;"
        f"sys.stdout.buffer.write(HashingProvider().embed({TEXT!r}).tobytes())"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        )
        assert done.stdout == HashingProvider().embed(TEXT).tobytes()


def test_the_same_as_ever():
    # Stored vectors outlive the process that made them: a change here needs a new model name.
    vector = HashingProvider(8).embed("abc")
    counts = vector / np.abs(vector[vector != 0]).min()
    assert counts.round(6).tolist() == [0, -1, 2, 0, -2, 0, 0, 0]


@given(words)
def test_unit_norm_and_shape(text):
    vector = HashingProvider(64).embed("id " + text)
    assert vector.shape == (64,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@given(words, words)
def test_case_and_white_space_do_not_count(one, other):
    provider = HashingProvider()
    plain = provider.embed(f"id {one} {other}".lower())
    assert np.array_equal(provider.embed(f"  id \t{one}\n  {other} ".lower()), plain)


def test_upper_case_is_lower_case():
    assert np.array_equal(HashingProvider().embed("RESET IT"), HashingProvider().embed("reset it"))


def test_similar_spelling_is_nearer_than_other_words():
    provider = HashingProvider()
    text, near, far = provider.embed_batch(
        ["reset my password", "password reset", "bake a chocolate cake"]
    )
    assert text @ near > 0.4 > text @ far + 0.2


def test_batch_equals_single():
    provider = HashingProvider()
    texts = ["one", "two words", TEXT]
    assert np.array_equal(provider.embed_batch(texts), [provider.embed(text) for text in texts])
    assert provider.embed_batch([]).shape == (0, 384)


def test_buckets_are_used_evenly():
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz "))
    provider = HashingProvider()
    used = np.zeros(384)
    total = np.zeros(384)
    for _ in range(400):
        vector = provider.embed("x" + "".join(random.choice(letters, 60)))
        used += vector != 0
        total += vector
    # Each bucket is hit in about 100 texts of 400; chance alone gives 73 to 131.
    assert used.min() > 60
    assert used.max() < 145
    # Signs are fair: no direction that all texts share.
    assert np.linalg.norm(total) / 400 < 0.12


def test_seeds_give_unrelated_vectors():
    one, other = HashingProvider(seed=0).embed(TEXT), HashingProvider(seed=1).embed(TEXT)
    assert abs(one @ other) < 0.3


@pytest.mark.parametrize("text", ["", " ", "\n\t  "])
def test_nothing_to_embed(text):
    with pytest.raises(InvalidArgumentError, match="text to embed is empty"):
        HashingProvider().embed(text)


@pytest.mark.parametrize(("arguments", "message"), [((0,), "dimension"), ((4, -1), "seed")])
def test_arguments(arguments, message):
    dimension, *seed = arguments
    with pytest.raises(InvalidArgumentError, match=message):
        HashingProvider(dimension, **({"seed": seed[0]} if seed else {}))
