"""Errors: each with its SQLSTATE, turned into server errors at the boundary."""

import pytest

from tiny_dancer import errors
from tiny_dancer.pg.boundary import (
    as_server_error,
    entry_point,
    of_inner_call,
    server_error_class,
)

STATES = {
    "InvalidArgumentError": "22023",
    "UnknownObjectError": "42704",
    "DuplicateObjectError": "42710",
    "NoSuitableAgentError": "TD001",
    "BudgetExhaustedError": "TD002",
    "NoFreeSlotError": "TD003",
    "NotReadyError": "55000",
    "MissingFileError": "58P01",
    "ReadOnlyError": "25006",
    "EmbedderConnectionError": "08006",
    "EmbedderBusyError": "53000",
    "MissingRightError": "42501",
}


class FakePlpy:
    class Error(Exception):
        pass

    class SPIError(Exception):
        pass


class DivisionByZero(FakePlpy.SPIError):
    pass


@pytest.mark.parametrize(("name", "sqlstate"), STATES.items())
def test_every_error_has_its_sqlstate(name, sqlstate):
    error = getattr(errors, name)("what is wrong", detail="A fact.", hint="Do this.")
    assert isinstance(error, errors.TinyDancerError)
    assert error.sqlstate == sqlstate
    raised = as_server_error(error, server_error_class(FakePlpy))
    assert isinstance(raised, FakePlpy.Error)
    assert (str(raised), raised.sqlstate, raised.detail, raised.hint) == (
        *("what is wrong", sqlstate, "A fact.", "Do this."),
    )


def test_there_is_no_error_without_a_test():
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    named = {c.__name__ for c in classes if issubclass(c, errors.TinyDancerError)}
    assert named - {"TinyDancerError"} == set(STATES)


def test_the_message_begins_with_the_name_of_the_product():
    kind = server_error_class(FakePlpy)
    assert (kind.__module__, kind.__name__) == ("builtins", "tiny_dancer")


class FakeBackend:
    plpy = FakePlpy
    server_error = server_error_class(FakePlpy)


def test_an_entry_point_turns_our_errors_and_no_others():
    def fails(backend, error):
        raise error

    call = entry_point(fails, FakeBackend())
    with pytest.raises(FakePlpy.Error) as caught:
        call(errors.NotReadyError("not ready", hint="Wait."))
    assert caught.value.sqlstate == "55000"
    assert caught.value.__cause__ is None
    with pytest.raises(ZeroDivisionError):
        call(ZeroDivisionError())


TD001 = sum((ord(character) - ord("0")) << 6 * place for place, character in enumerate("TD001"))


def test_an_error_of_an_inner_call_reads_as_if_it_had_been_called_alone():
    inner = FakePlpy.SPIError("tiny_dancer: no agent fits: none")
    inner.spidata = (TD001, "A fact.", "Do this.", None, 0)
    raised = of_inner_call(inner, FakeBackend.server_error)
    assert type(raised) is FakeBackend.server_error
    assert (str(raised), raised.sqlstate, raised.detail, raised.hint) == (
        *("no agent fits: none", "TD001", "A fact.", "Do this."),
    )


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("spiexceptions.DivisionByZero: division by zero", "division by zero"),
        ("division by zero", "division by zero"),
        ("spiexceptions.Other: nothing", "spiexceptions.Other: nothing"),
        ("syntax: an error", "syntax: an error"),
        ("", ""),
    ],
)
def test_an_error_of_the_server_stays_what_it_is_and_names_its_class_once(message, left):
    error = DivisionByZero(message)

    def fails(backend):
        raise error

    with pytest.raises(DivisionByZero) as caught:
        entry_point(fails, FakeBackend())()
    assert caught.value is error
    assert str(error) == left


def test_long_values_are_shown_cut_short():
    assert errors.shown("a'b") == '"a\'b"'
    assert errors.shown(None) == "NULL"
    assert len(errors.shown("x" * 10**6)) < 100
