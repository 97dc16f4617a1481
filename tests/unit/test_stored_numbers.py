"""An array of numbers as PostgreSQL has it in memory."""

import numpy as np
import pytest

from tiny_dancer.pg.stored_array import stored_numbers


def stored(*shape, start=0, lower_bound=1):
    """Return 1, 2, 3, … in an array of this shape, without its length."""
    head = [len(shape), start, 700, *shape, *[lower_bound] * len(shape)]
    count = int(np.prod(shape)) if shape else 0
    return np.array(head, np.int32).tobytes() + np.arange(1, count + 1, dtype="f4").tobytes()


@pytest.mark.parametrize("count", [1, 2, 768, 16_000])
def test_a_flat_array_is_read(count):
    assert stored_numbers(stored(count)).tolist() == list(range(1, count + 1))


def test_the_first_index_does_not_matter():
    assert stored_numbers(stored(3, lower_bound=-5)).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "other",
    [stored(), stored(2, 2), stored(2, start=32), b"", stored(3)[:15], stored(3)[:-1]],
    ids=["empty", "2-D", "NULLs", "nothing", "a head alone", "cut short"],
)
def test_what_is_not_flat_has_no_numbers(other):
    assert stored_numbers(other).shape == (0,)
