"""Hosts and logins: taken, or told in plain words and soon."""

import ssl
import threading

import pytest
import requests

from pipeline.kubeflow.submit import connect as connecting
from pipeline.kubeflow.submit import preflight
from pipeline.kubeflow.submit.backend import Package
from pipeline.kubeflow.submit.connect import connect
from pipeline.kubeflow.submit.deadline import within
from pipeline.kubeflow.submit.errors import SubmitError
from pipeline.kubeflow.submit.kfp_backend import KfpBackend
from tests.kfp_server.doors import SESSION
from tests.kfp_server.faults import Fault
from tests.pipeline.kubeflow.submit.conftest import STAGES, package_text
from tests.pipeline.kubeflow.submit.tls import self_signed, tls_proxy
from tests.ports import free_port

DEX = "auth: {kind: dex}"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", "right-token")
    monkeypatch.setenv("KFP_COOKIES", f"{SESSION}=right-session")
    monkeypatch.setenv("DEX_USERNAME", "ada@example.com")
    monkeypatch.setenv("DEX_PASSWORD", "hunter2")


def refusal(kubeflow) -> str:
    with pytest.raises(SubmitError) as caught:
        connect(kubeflow)
    assert "hunter2" not in str(caught.value)
    assert "right-" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("door", "auth"),
    [
        ("open", "{kind: none}"),
        ("token", "{kind: token}"),
        ("cookie", "{kind: cookie}"),
        ("authservice", "{kind: dex}"),
        ("oauth2-proxy", "{kind: dex}"),
    ],
)
def test_each_way_in(server, kubeflow, door, auth):
    server.door.kind = door
    server.door.users = {"ada@example.com": "hunter2"}
    connection = connect(kubeflow(f"auth: {auth}"))
    assert connection.server.version == "2.16.0"
    assert "hunter2" not in repr(connection) and "right-" not in repr(connection)


def test_dex_may_ask_for_approval(server, kubeflow):
    server.door.kind, server.door.approval = "oauth2-proxy", True
    server.door.users = {"ada@example.com": "hunter2"}
    connect(kubeflow(DEX))
    assert "POST /dex/approval" in server.seen


def test_a_service_account_reads_its_token_each_time(server, kubeflow, tmp_path):
    server.door.kind = "token"
    token = tmp_path / "token"
    token.write_text("right-token\n")
    login = connect(kubeflow(f"auth: {{kind: service_account, token_file: {token}}}")).login
    token.write_text("renewed")
    sent = login(requests.Request("GET", server.url).prepare())
    assert sent.headers["Authorization"] == "Bearer renewed"


def test_a_login_is_not_taken_from_netrc(server, kubeflow, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.door.kind = "token"
    connect(kubeflow("auth: {kind: token}"))


@pytest.mark.parametrize(
    ("door", "auth", "told"),
    [
        ("token", "{kind: none}", "does not take no login (kubeflow.auth.kind is 'none'): it answ"),
        ("cookie", "{kind: none}", "it sends to a login page. say kubeflow.auth.kind: token, coo"),
        ("oauth2-proxy", "{kind: none}", "it answers 403"),
        (
            "token",
            "{kind: token, token_env: OLD}",
            "does not take the token in OLD: it answers 401",
        ),
        (
            "cookie",
            "{kind: cookie, cookies_env: OLD}",
            "does not take the cookies in OLD: it sends",
        ),
        (
            "token",
            "{kind: token, token_env: NONE}",
            "environment variable NONE, which kubeflow.auth",
        ),
        ("oauth2-proxy", "{kind: dex, password_env: OLD}", "refuses the user name or the password"),
        ("open", "{kind: dex}", "leads to no login page of Dex (it answered 200 at"),
        ("open", "{kind: service_account, token_file: /none}", "/none: No such file or directory"),
        ("token", "{kind: token, token_env: LINES}", "expected one line of ASCII characters"),
    ],
)
def test_a_login_that_is_not_taken(server, kubeflow, monkeypatch, door, auth, told):
    monkeypatch.setenv("OLD", "expired")
    monkeypatch.setenv("LINES", "one\ntwo")
    server.door.kind = door
    server.door.users = {"ada@example.com": "hunter2"}
    assert told in refusal(kubeflow(f"auth: {auth}"))


def test_a_token_that_only_the_health_page_takes_is_refused(server, kubeflow, monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", "wrong")
    server.door.kind = "token"
    assert "it answers 401" in refusal(kubeflow("auth: {kind: token}"))
    assert server.seen == ["GET /apis/v2beta1/healthz", "GET /apis/v2beta1/experiments"]


def test_hosts_that_are_none(server, kubeflow):
    assert "there is no host of that name" in refusal(kubeflow(host="http://nowhere.invalid"))
    assert "nothing listens there" in refusal(kubeflow(host=f"http://127.0.0.1:{free_port()}"))
    assert "is no Kubeflow Pipelines" in refusal(kubeflow(host=f"{server.url}/else/where"))
    assert "it does not speak TLS" in refusal(kubeflow(host=server.url.replace("http:", "https:")))
    assert "kubeflow.host is not set" in refusal(kubeflow("host: null"))


def test_a_page_of_the_interface_is_as_good_as_its_host(server, kubeflow):
    assert connect(kubeflow(host=f"{server.url}/#/runs/details/1")).host == server.url


def test_a_host_that_hangs_is_given_up(server, kubeflow, monkeypatch):
    monkeypatch.setattr(preflight, "TIMEOUT", 1)
    others = set(threading.enumerate())
    server.faults.append(Fault("GET", "healthz", "hang"))
    with pytest.raises(SubmitError, match=r"no answer within 0 s: is it the right address"):
        connect(kubeflow(), patience=0.3)
    assert connecting.PATIENCE < 10
    # Else it would ask again when the server is the next test's.
    for given_up in set(threading.enumerate()) - others:
        given_up.join(60)


def test_what_passes_by_is_tried_again(server, kubeflow):
    server.faults.append(Fault("GET", "healthz", 503, times=2))
    server.faults.append(Fault("GET", "experiments", "reset"))
    connect(kubeflow())
    server.faults.append(Fault("GET", "healthz", 500, times=9))
    assert "is ill" in refusal(kubeflow())


def test_several_users_need_a_namespace(server, kubeflow):
    server.multi_user = True
    assert "kubeflow.namespace is not set" in refusal(kubeflow())
    assert connect(kubeflow("namespace: plant")).server.multi_user


def test_a_private_certificate(server, kubeflow, tmp_path):
    key, certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with tls_proxy(server.url, context) as host:
        assert "certificate is not trusted" in refusal(kubeflow(host=host))
        connect(kubeflow(f"tls: {{ca_cert: {certificate}}}", host))
        connect(kubeflow("tls: {verify: false}", host))
        for tls in (f"{{ca_cert: {certificate}}}", "{verify: false}"):
            backend = KfpBackend(kubeflow(f"tls: {tls}", host), STAGES)
            backend.upload(Package.read(package_text(), "pipeline.yaml"))
        assert "kubeflow.tls.ca_cert" in refusal(kubeflow("tls: {ca_cert: /none.pem}", host))
    assert len(server.store.versions) == 1


def test_within():
    assert within(5, lambda: 1) == 1
    with pytest.raises(ValueError, match="inside"):
        within(5, lambda: (_ for _ in ()).throw(ValueError("inside")).__next__())
    with pytest.raises(TimeoutError, match="within 0 s"):
        within(0.05, threading.Event().wait)
