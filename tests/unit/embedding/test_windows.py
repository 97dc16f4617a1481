import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.embedding.windows import mean_direction, split_windows, window_starts
from tiny_dancer.errors import InvalidArgumentError

sizes = st.integers(1, 2000), st.integers(1, 300), st.integers(1, 6)


@given(*sizes)
def test_windows_are_whole_and_reach_both_ends(tokens, window, max_windows):
    ids = list(range(tokens))
    windows = split_windows(ids, window, max_windows)
    assert len(windows) == min(-(-tokens // window), max_windows)
    assert all(len(part) == min(window, tokens) for part in windows)
    assert windows[0][0] == 0
    if max_windows > 1:
        assert windows[-1][-1] == tokens - 1


@given(*sizes)
def test_nothing_is_left_out_while_there_are_windows(tokens, window, max_windows):
    windows = split_windows(range(tokens), window, max_windows)
    if tokens <= window * max_windows:
        assert set().union(*windows) == set(range(tokens))


def test_known_starts():
    assert window_starts(10, 10, 4) == [0]
    assert window_starts(11, 10, 4) == [0, 1]
    assert window_starts(40, 10, 4) == [0, 10, 20, 30]
    assert window_starts(100, 10, 4) == [0, 30, 60, 90]
    assert window_starts(100, 10, 1) == [0]


@pytest.mark.parametrize("arguments", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_numbers_below_one(arguments):
    with pytest.raises(InvalidArgumentError, match="must be at least 1, not 0"):
        window_starts(*arguments)


def test_mean_direction():
    vectors = np.array([[1, 0], [0, 1]], dtype=np.float32)
    assert mean_direction(vectors) == pytest.approx([0.5**0.5, 0.5**0.5])
    assert np.array_equal(mean_direction(vectors[:1]), vectors[0])
    with pytest.raises(InvalidArgumentError, match="vector of zeros"):
        mean_direction(np.array([[1, 0], [-1, 0]], dtype=np.float32))


def test_a_long_text_is_the_mean_of_its_windows(small_models):
    # 16 tokens a window, two of them special: 14 words fit.
    words = [f"{word}" for word in ("reset", "password", "order", "parcel") * 12]
    provider = open_provider(small_models / "small-fp32", max_windows=3)
    parts = [" ".join(words[start : start + 14]) for start in (0, 17, 34)]
    mean = provider.embed_batch(parts).mean(axis=0)
    assert provider.embed(" ".join(words)) == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_one_window_is_truncation(small_models):
    words = ["reset", "password", "order", "parcel"] * 12
    provider = open_provider(small_models / "small-fp32", max_windows=1)
    assert np.array_equal(provider.embed(" ".join(words)), provider.embed(" ".join(words[:14])))


def test_text_that_fits_is_one_window(small_models):
    text = " ".join(["reset", "password"] * 7)
    one, four = (open_provider(small_models / "small-fp32", max_windows=n) for n in (1, 4))
    assert np.array_equal(one.embed(text), four.embed(text))


def test_max_windows_below_one(small_models):
    with pytest.raises(InvalidArgumentError, match="max_windows must be at least 1, not 0"):
        open_provider(small_models / "small-fp32", max_windows=0)
