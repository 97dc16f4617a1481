"""Splits: no row twice, twins together, classes spread."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny_dancer.training.held_back import all_but, duplicate_groups, folds, joined


def test_equal_rows_share_a_group():
    vectors = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [3, 4]], np.float32)
    assert duplicate_groups(vectors).tolist() == [0, 1, 0, 2, 1]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), count=st.integers(2, 6), seed=st.integers(0, 9))
def test_parts_are_a_partition_with_twins_together(data, count, seed):
    numbers = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=40))
    groups = duplicate_groups(np.array(numbers, np.float32)[:, None])
    strata = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(numbers), max_size=40)))
    strata = strata[: len(numbers)]
    parts = folds(groups, strata, count, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(numbers)))
    homes = [{int(groups[row]) for row in part} for part in parts]
    assert sum(len(home) for home in homes) == len(set(groups.tolist()))


def test_every_class_is_in_every_part():
    strata = np.repeat([0, 1, 2], [50, 10, 5])
    parts = folds(np.arange(65), strata, 5, seed=1)
    for part in parts:
        assert np.bincount(strata[part]).tolist() == [10, 2, 1]


def test_same_seed_same_parts():
    arguments = (np.arange(30), np.zeros(30, np.int64), 4)
    first, again, other = (folds(*arguments, seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True) if len(a) == len(b))


def test_complement_and_union():
    assert all_but(np.array([0, 3]), 5).tolist() == [1, 2, 4]
    assert joined([np.array([4, 1]), np.array([2])]).tolist() == [1, 2, 4]
    assert joined([]).tolist() == []
