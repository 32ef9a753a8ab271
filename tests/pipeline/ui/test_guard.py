"""Who is turned away."""

import httpx
import pytest

from pipeline.ui.guard import is_loopback
from tests.pipeline.ui.conftest import RUNS


def test_without_the_key_nothing_is_shown(stranger: httpx.Client) -> None:
    for address in ("/", "/versions", f"/runs/{RUNS[0]}", "/?key=wrong", "/?key=%C3%A9"):
        answer = stranger.get(address)
        assert answer.status_code == 403
        assert "python -m pipeline ui" in answer.text
        assert RUNS[0] not in answer.text


def test_the_key_becomes_a_cookie_and_leaves_the_address(stranger, address: str) -> None:
    answer = stranger.get(address.replace("/?", "/versions?order=x&"))
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/versions?order=x"
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "[", "", "0.0.0.0:1"]
)
def test_another_name_for_this_machine_is_refused(client, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code in (400, 403)  # the server itself refuses some
    assert RUNS[0] not in answer.text


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:9000", "[::1]:9000", "localhost"])
def test_a_tunnel_may_have_any_port(client, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_loopback(host: str, is_it: bool) -> None:
    assert is_loopback(host) == is_it
