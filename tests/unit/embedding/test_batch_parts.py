"""A batch in parts: all texts in order, few and short enough each."""

import random

import pytest

from tiny_dancer.embedding.batch_parts import batch_parts


def cut(texts, most_texts=3, most_characters=10):
    return list(batch_parts(texts, most_texts=most_texts, most_characters=most_characters))


def test_by_number_and_by_length():
    assert cut(["a"] * 7) == [["a"] * 3, ["a"] * 3, ["a"]]
    assert cut(["a" * 6, "b" * 4, "c"]) == [["a" * 6, "b" * 4], ["c"]]
    assert cut(["a", "b" * 30, "c", "d"]) == [["a"], ["b" * 30], ["c", "d"]]
    assert cut(["", "", "", ""]) == [["", "", ""], [""]]
    assert cut([]) == []


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost(seed):
    choice = random.Random(seed)
    texts = ["x" * choice.choice([0, 1, 3, 9, 10, 11, 50]) for _ in range(200)]
    parts = cut(texts)
    assert [text for part in parts for text in part] == texts
    assert all(1 <= len(part) <= 3 for part in parts)
    assert all(len(part) == 1 or sum(map(len, part)) <= 10 for part in parts)
