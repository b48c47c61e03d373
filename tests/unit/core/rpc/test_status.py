from __future__ import annotations

import pytest
from google.rpc import code_pb2, error_details_pb2

from w2s.errors import InvalidArgument, NotFound, ResourceExhausted, W2SError
from w2s.rpc.status import status_of

# The client's own errors are no answers of a server.
KINDS = [kind for kind in W2SError.__subclasses__() if kind.__module__ == "w2s.errors"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_has_the_code_that_it_is_named_after(kind):
    error = kind("field", "problem") if kind is InvalidArgument else kind("problem")
    name = code_pb2.Code.Name(status_of(error).code)
    assert name.replace("_", "").lower() == kind.__name__.lower()


def detail(status, message):
    (packed,) = status.details
    assert packed.Unpack(message)
    return message


def test_an_invalid_argument_names_its_field_for_machines():
    status = status_of(InvalidArgument("run.spec.epochs", "must be positive"))
    assert status.message == "run.spec.epochs: must be positive"
    (violation,) = detail(status, error_details_pb2.BadRequest()).field_violations
    assert (violation.field, violation.description) == ("run.spec.epochs", "must be positive")


def test_an_exhausted_resource_says_when_to_retry():
    delay = detail(status_of(ResourceExhausted("full", retry_after_s=2.5)), error_details_pb2.RetryInfo()).retry_delay
    assert delay.ToTimedelta().total_seconds() == 2.5


def test_other_errors_have_a_message_and_nothing_else():
    status = status_of(NotFound("gone"))
    assert (status.message, list(status.details)) == ("gone", [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("é" * 512, "é" * 512),
        ("é" * 513, "é" * 512 + "…"),
        # A character that the limit falls into is left out whole.
        ("a" + "é" * 512, "a" + "é" * 511 + "…"),
        # How Python says the bytes of a file name that is no text.
        ("/data/\udcff", "/data/?"),
    ],
    ids=["as long as may be", "too long", "too long by half a character", "no text"],
)
def test_texts_are_made_to_fit(text, said):
    assert status_of(NotFound(text)).message == said
