"""The locked kfp client against the server: each thing once, whatever gets lost on the way."""

import pytest

from pipeline.kubeflow.submit.backend import Package
from pipeline.kubeflow.submit.errors import SubmitError, reason
from pipeline.kubeflow.submit.kfp_backend import KfpBackend
from tests.kfp_server.faults import Fault
from tests.pipeline.kubeflow.submit.conftest import STAGES, package_text

UPLOAD, VERSION = (
    "POST /apis/v2beta1/pipelines/upload",
    "POST /apis/v2beta1/pipelines/upload_version",
)


@pytest.fixture
def backend(kubeflow):
    return KfpBackend(kubeflow(), STAGES)


def packed(change: str = "") -> Package:
    return Package.read(package_text(change), "pipeline.yaml")


def test_bytes_are_uploaded_once(server, backend):
    first, again = backend.upload(packed()), backend.upload(packed())
    assert (first.is_new, again.is_new) == (True, False)
    assert first.version_id == again.version_id
    second, again = backend.upload(packed("2")), backend.upload(packed("2"))
    assert (second.is_new, again.is_new) == (True, False)
    assert second.pipeline_id == first.pipeline_id
    assert second.version_id == again.version_id != first.version_id
    assert [server.seen.count(UPLOAD), server.seen.count(VERSION)] == [1, 1]
    names = [version["display_name"] for version in server.store.versions.values()]
    assert names == ["plant-failures", packed("2").version]


def test_a_users_other_version_of_the_same_name_is_not_taken_for_these_bytes(server, backend):
    uploaded = backend.upload(packed())
    server.store.versions[uploaded.version_id]["description"] = "mine"
    assert backend.upload(packed()).version_id != uploaded.version_id


@pytest.mark.parametrize("fault", ["reset", 503, 500])
def test_an_upload_whose_answer_is_lost_is_found(server, backend, fault):
    server.faults += [
        Fault("POST", "upload$", fault, after=True),
        Fault("POST", "upload_version", fault, after=True),
    ]
    backend.upload(packed())
    backend.upload(packed("2"))
    assert [server.seen.count(UPLOAD), server.seen.count(VERSION)] == [1, 1]


def test_a_package_that_the_server_refuses_is_told(server, backend):
    old = Package.read(package_text().replace("2.1.0", "2.0.0"), "pipeline.yaml")
    with pytest.raises(Exception, match=r"2\.1\.0") as caught:
        backend.upload(old)
    assert reason(caught.value).startswith("400 ")
    assert "\n" not in reason(caught.value)
    assert server.seen.count(UPLOAD) == 1


@pytest.mark.parametrize("fault", [None, "reset", 504])
def test_one_run_is_started(server, backend, fault):
    if fault:
        server.faults.append(Fault("POST", "/runs$", fault, after=True))
    uploaded = backend.upload(packed())
    run_id = backend.start(packed(), uploaded, "night", {"as_of": "2025-05-01T00:00:00Z"})
    assert list(server.store.runs) == [run_id]
    run = server.store.runs[run_id]
    assert run["display_name"] == "night"
    assert run["service_account"] == "pipeline-runner"
    assert run["runtime_config"] == {
        "parameters": {"as_of": "2025-05-01T00:00:00Z"},
        "pipeline_root": "minio://mlpipeline/v2/artifacts",
    }
    assert run["pipeline_version_reference"]["pipeline_version_id"] == uploaded.version_id
    assert [e["display_name"] for e in server.store.experiments.values()] == ["nightly"]


def test_with_several_users_all_belongs_to_the_namespace(server, kubeflow):
    server.multi_user = True
    backend = KfpBackend(kubeflow("namespace: plant"), STAGES)
    backend.start(packed(), backend.upload(packed()), "night", {})
    for table in (server.store.pipelines, server.store.experiments):
        assert [row["namespace"] for row in table.values()] == ["plant"]


def looks(backend, run_id: str) -> list:
    """The run's snapshots to the end; the server makes a step with each look."""
    snapshots = [backend.look(run_id)]
    while snapshots[-1].state not in ("succeeded", "failed", "canceled"):
        assert len(snapshots) < 100
        snapshots.append(backend.look(run_id))
    return snapshots


def test_stages_are_followed(server, backend):
    run_id = backend.start(packed(), backend.upload(packed()), "night", {})
    snapshots = looks(backend, run_id)
    assert snapshots[0].state == "pending" and snapshots[0].stages == {}
    seen = [s.stages["Trainer"].state for s in snapshots if "Trainer" in s.stages]
    assert list(dict.fromkeys(seen)) == ["running", "done"]
    last = snapshots[-1]
    assert {name: stage.state for name, stage in last.stages.items()} == dict.fromkeys(
        STAGES, "done"
    )
    assert all(0 <= stage.seconds < 60 for stage in last.stages.values())


@pytest.mark.parametrize("how", ["FAILED", "DRIVER"])
def test_a_stage_fails_by_its_container_or_its_driver(server, backend, how):
    server.outcomes["Trainer"] = how
    run_id = backend.start(packed(), backend.upload(packed()), "night", {})
    last = looks(backend, run_id)[-1]
    assert last.state == "failed"
    assert last.stages["Trainer"].state == "failed"
    assert "VersionPusher" not in last.stages


def test_a_session_that_ends_is_begun_anew(server, kubeflow, monkeypatch):
    server.door.kind = "token"
    monkeypatch.setenv("KFP_TOKEN", "right-token")
    backend = KfpBackend(kubeflow("auth: {kind: token}"), STAGES)
    run_id = backend.start(packed(), backend.upload(packed()), "night", {})
    server.door.token = "newer"
    monkeypatch.setenv("KFP_TOKEN", "newer")
    assert backend.look(run_id).state in ("pending", "running")
    server.door.token = "other"
    with pytest.raises(
        SubmitError, match=r"the login has ended while the run went on: .* KFP_TOKEN"
    ):
        backend.look(run_id)


@pytest.mark.parametrize("door", ["authservice", "oauth2-proxy"])
def test_a_session_of_dex_that_ends_is_begun_anew(server, kubeflow, monkeypatch, door):
    server.door.kind = door
    server.door.users = {"ada@example.com": "hunter2"}
    monkeypatch.setenv("DEX_USERNAME", "ada@example.com")
    monkeypatch.setenv("DEX_PASSWORD", "hunter2")
    backend = KfpBackend(kubeflow("auth: {kind: dex}"), STAGES)
    run_id = backend.start(packed(), backend.upload(packed()), "night", {})
    server.door.session = "the-next-one"
    assert backend.look(run_id).state in ("pending", "running")
    assert server.door.logins == 2


def test_a_dead_connection_ends_in_time(server, backend, monkeypatch):
    monkeypatch.setattr("pipeline.kubeflow.submit.connect.TIMEOUT", (0.2, 0.2))
    run_id = backend.start(packed(), backend.upload(packed()), "night", {})
    server.faults.append(Fault("GET", "/runs/", "hang", times=9))
    with pytest.raises(Exception, match="timed out"):
        backend.look(run_id)


def test_the_link_is_that_of_kfps_interface(server, backend):
    assert backend.link("one") == f"{server.url}/#/runs/details/one"
