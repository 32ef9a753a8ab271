"""Recurring runs: one of a name, made what is asked, whatever was there."""

import dataclasses

import pytest

from pipeline.kubeflow.submit.errors import SubmitError
from pipeline.kubeflow.submit.kfp_backend import KfpBackend
from pipeline.kubeflow.submit.recurring import cron_of_six
from tests.kfp_server.faults import Fault
from tests.pipeline.kubeflow.submit.conftest import STAGES
from tests.pipeline.kubeflow.submit.test_backend import packed

NIGHTLY = "0 3 * * *"


@pytest.fixture
def asked(server, kubeflow):
    """Asks for the recurring run ``plant``; how it was changed."""
    backend = KfpBackend(kubeflow(), STAGES)

    def ask(cron: str = NIGHTLY, change: str = "", **values: object) -> str:
        uploaded = backend.upload(packed(change))
        return backend.schedule(packed(change), uploaded, "plant", cron, values).change

    ask.backend = backend
    return ask


def rows(server) -> list[dict]:
    return list(server.store.recurring.values())


def test_it_is_made_once(server, asked):
    assert (asked(), asked()) == ("made", "left as it is")
    (row,) = rows(server)
    assert row["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert row["status"] == "ENABLED"
    assert row["service_account"] == "pipeline-runner"
    assert row["runtime_config"]["pipeline_root"] == "minio://mlpipeline/v2/artifacts"
    assert row["no_catchup"] is True


@pytest.mark.parametrize("other", [{"cron": "30 4 * * 1-5"}, {"change": "2"}, {"as_of": "now"}])
def test_another_wish_takes_its_place(server, asked, other):
    asked()
    assert asked(**other) == "replaced"
    assert len(rows(server)) == 1
    assert asked(**other) == "left as it is"


def test_one_of_another_name_is_left_alone(server, asked):
    asked()
    (row,) = rows(server)
    server.store.recurring["other"] = row | {"recurring_run_id": "other", "display_name": "plant2"}
    asked("0 4 * * *")
    assert sorted(row["display_name"] for row in rows(server)) == ["plant", "plant2"]


def test_disabled_and_enabled_again(server, asked):
    asked()
    assert asked.backend.disable("plant") == 1
    assert rows(server)[0]["status"] == "DISABLED"
    assert asked.backend.disable("plant") == 0
    assert asked() == "enabled"
    assert rows(server)[0]["status"] == "ENABLED"
    with pytest.raises(SubmitError, match="there is no recurring run 'other'"):
        asked.backend.disable("other")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", "recurringruns$", "reset", after=True),
        Fault("DELETE", "recurringruns", "reset", after=True),
        Fault("DELETE", "recurringruns", 503),
        Fault("GET", "recurringruns", 500, times=2),
    ],
    ids=lambda fault: f"{fault.method}-{fault.kind}",
)
def test_what_is_lost_on_the_way_makes_no_second_one(server, asked, fault):
    asked()
    server.faults.append(dataclasses.replace(fault))
    assert asked("0 4 * * *") == "replaced"
    assert [row["trigger"]["cron_schedule"]["cron"] for row in rows(server)] == ["0 0 4 * * *"]


def test_a_call_that_broke_between_making_and_deleting_is_put_right(server, asked):
    asked()
    server.faults.append(Fault("DELETE", "recurringruns", 403))
    with pytest.raises(Exception, match="403"):
        asked("0 4 * * *")
    assert len(rows(server)) == 2
    assert asked("0 4 * * *") == "replaced"
    assert len(rows(server)) == 1


def test_what_cron_means_the_server_judges(server, asked):
    with pytest.raises(Exception, match="not a supported format"):
        asked("0 25h * * *")


def test_cron_has_five_fields_or_six():
    assert cron_of_six("0 3 * * *") == "0 0 3 * * *"
    assert cron_of_six(" 30  0 3 * * * ") == "30 0 3 * * *"
    with pytest.raises(SubmitError, match=r"'@daily' has 1 fields: expected minute, hour"):
        cron_of_six("@daily")
