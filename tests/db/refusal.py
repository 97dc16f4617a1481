"""What an error must look like: SQLSTATE, message, detail and hint."""

from __future__ import annotations

import re
from contextlib import contextmanager

import psycopg
import pytest

# A stray exception of PL/Python, and an internal error of the server.
STRAY = ("38000", "39000", "XX000")


@contextmanager
def refused(sqlstate, message="", *, detail=None, hint=None):
    """Expect an error of this SQLSTATE whose texts match these patterns.

    Every error of ours has a hint, and its message is lower-case without a full stop.
    """
    with pytest.raises(psycopg.Error) as caught:
        yield caught
    error = caught.value
    text = f"{error} / {error.diag.message_detail} / {error.diag.message_hint}"
    assert error.sqlstate == sqlstate, f"{error.sqlstate}: {text}"
    assert re.search(message, error.diag.message_primary), text
    for pattern, field in ((detail, "message_detail"), (hint, "message_hint")):
        if pattern is not None:
            assert re.search(pattern, getattr(error.diag, field) or ""), text
    if is_ours(error):
        assert_house_style(error)


def is_ours(error):
    return error.diag.message_primary.startswith("tiny_dancer: ")


def assert_house_style(error):
    """Message lower-case without a full stop, detail and hint as sentences.

    A sentence may begin with the name of an argument and end with a command.
    """
    message = error.diag.message_primary.removeprefix("tiny_dancer: ")
    assert not message.endswith("."), message
    assert not message[:1].isupper(), message
    assert error.diag.message_hint, f"no hint: {message}"
    assert error.diag.message_hint[0].isupper(), error.diag.message_hint
    assert (error.diag.message_detail or ".").endswith("."), error.diag.message_detail
