"""A vector as text: pgvector reads the very same floats from it."""

import numpy as np
import pytest

from tiny_dancer.pg.store import vector_text


def read(text):
    assert (text[0], text[-1]) == ("[", "]")
    return np.array([np.float32(element) for element in text[1:-1].split(",")])


@pytest.mark.parametrize("dimension", [1, 3, 384])
def test_every_float_comes_back(dimension):
    random = np.random.default_rng(dimension)
    for _ in range(50):
        bits = random.integers(0, 2**32, dimension, dtype=np.uint32)
        vector = bits.view(np.float32)
        vector[~np.isfinite(vector)] = 1.0
        np.testing.assert_array_equal(read(vector_text(vector)).view(np.uint32), vector.view("u4"))


def test_extremes():
    info = np.finfo(np.float32)
    vector = np.array([info.max, info.tiny, info.smallest_subnormal, -0.0, 1 / 3], np.float32)
    np.testing.assert_array_equal(read(vector_text(vector)).view("u4"), vector.view("u4"))
