"""Whose text is next."""

import pytest

from tiny_dancer.embedder.turns import Turns


def test_requests_take_turns_and_keep_their_order():
    turns = Turns()
    for request in (["a1", "a2", "a3"], ["b1"], ["c1", "c2"]):
        turns.add(request)
    assert len(turns) == 6
    assert turns.next() == "a1"
    assert [turns.take() for _ in range(6)] == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert len(turns) == 0


def test_a_request_withdrawn_takes_its_texts_with_it():
    turns = Turns()
    first, second = turns.add(["a1", "a2"]), turns.add(["a1", "b2"])
    turns.take()
    turns.withdraw(first)
    assert len(turns) == 2
    turns.withdraw(first)
    assert [turns.take(), turns.take()] == ["a1", "b2"]
    turns.withdraw(second)
    assert len(turns) == 0
    with pytest.raises(IndexError):
        turns.take()
