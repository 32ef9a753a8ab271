"""All stages of a run stand at one instant, whoever started it."""

import pytest

from pipeline.kubeflow.run_values import settle


@pytest.mark.parametrize(
    ("as_of", "instant"),
    [
        ("2025-04-17", "2025-04-17T00:00:00Z"),
        ("2025-04-17T08:00:00+02:00", "2025-04-17T06:00:00Z"),
    ],
)
def test_an_instant_is_written_in_one_way(as_of, instant):
    assert settle({"as_of": as_of, "name": "errors"}) == (
        {"as_of": instant, "name": "errors"},
        None,
    )


@pytest.mark.parametrize("time", ["2025-04-17T06:00:00Z", "2025-04-17T06:00:00.123456789Z"])
def test_now_is_the_time_of_the_run(time):
    given = {"as_of": "now", "run_time": time, "run_id": "r-1"}
    assert settle(given) == ({"as_of": "2025-04-17T06:00:00Z"}, "r-1")
    assert given["as_of"] == "now"


@pytest.mark.parametrize("time", [{}, {"run_time": "{{$.pipeline_job_create_time_utc}}"}])
def test_now_without_a_time_of_the_run_is_refused(time):
    with pytest.raises(ValueError, match=r"nothing tells the time of the run.*from 2\.16 on"):
        settle({"as_of": "now"} | time)


def test_another_text_is_refused():
    with pytest.raises(ValueError, match=r"run parameter as_of is 'latest': expected an ISO 8601"):
        settle({"as_of": "latest"})


def test_what_has_no_as_of_keeps_its_parameters():
    assert settle({"settings": "{}"}) == ({"settings": "{}"}, None)
