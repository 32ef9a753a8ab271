"""What is tried again, and what a failure is told as."""

import pytest
import urllib3
from kfp_server_api import ApiException

from pipeline.kubeflow.submit.errors import SHOWN, SubmitError, reason
from pipeline.kubeflow.submit.retry import ATTEMPTS, found_or_made, is_transient, retried


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ApiException(status=503), True),
        (ApiException(status=429), True),
        (ApiException(status=400), False),
        (ApiException(status=401), False),
        (ApiException(status=409), False),
        (urllib3.exceptions.MaxRetryError(None, "/"), True),
        (ConnectionResetError(), True),
        (ValueError(), False),
        (SubmitError("no"), False),
    ],
)
def test_transient(error, transient):
    assert is_transient(error) is transient


def test_it_is_tried_so_often_and_waits_longer():
    calls, waits = [], []

    def call() -> None:
        calls.append(1)
        raise ApiException(status=503)

    with pytest.raises(ApiException):
        retried(call, waits.append)
    assert len(calls) == ATTEMPTS
    assert waits == [0.5, 1.0, 2.0]


def test_what_cannot_be_mended_is_raised_at_once():
    def call() -> None:
        raise ApiException(status=403)

    with pytest.raises(ApiException):
        retried(call, lambda seconds: pytest.fail("waited"))


def test_found_or_made():
    there: list[str] = []
    assert found_or_made(lambda: there[0] if there else None, lambda: there.append("it")) == "it"
    assert found_or_made(lambda: there[0], lambda: pytest.fail("made twice")) == "it"
    with pytest.raises(SubmitError, match="does not list it"):
        found_or_made(lambda: None, lambda: None)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error": "x", "code": 3, "message": "InvalidInputError: no\\n  such"}', "no such"),
        ('{"error_message": "too old", "error_details": "long"}', "400 too old"),
        ("<html>\n<h1>Bad gateway</h1>", "400 <html> <h1>Bad gateway</h1>"),
        ('"text"', '400 "text"'),
    ],
)
def test_reason(body, told):
    error = ApiException(status=400)
    error.body = body
    assert reason(error).endswith(told)


def test_a_long_reason_is_cut():
    assert len(reason(ValueError("x" * 5_000))) == SHOWN
    assert reason(ConnectionResetError()) == "ConnectionResetError"
