import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.folders import content_fingerprint
from serving.releases import NONE, ReleaseError, Releases, fingerprint, prunable


def saved_model(folder: Path, content: str) -> Path:
    """A folder that looks like a SavedModel; a release never opens it."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(content)
    (folder / "variables" / "variables.index").write_text(content * 3)
    return folder


def push(releases: Releases, model: Path, keep: int = 5, **options: object):
    return releases.push(model, {"metrics": {"auc": 0.9}}, keep, "blessed", **options)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.isdecimal())


def test_nothing_serves_before_the_first_push(tmp_path):
    releases = Releases(tmp_path / "model")

    assert releases.stable() is None
    assert releases.before() is None
    assert releases.versions() == []
    assert fingerprint(tmp_path / "model") == NONE


def test_a_push_is_stable_and_keeps_where_it_came_from(tmp_path):
    statistics = tmp_path / "statistics"
    (statistics / "Split-train").mkdir(parents=True)
    (statistics / "Split-train" / "FeatureStats.pb").write_text("stats")
    (tmp_path / "schema.pbtxt").write_text("feature {}")
    releases = Releases(tmp_path / "model")
    model = saved_model(tmp_path / "a", "a")

    done = push(releases, model, statistics=statistics, schema=tmp_path / "schema.pbtxt", by="me")

    assert (done.version, done.created, done.stable) == (1, True, 1)
    stable = releases.stable()
    assert stable.number == 1
    assert stable.release["metrics"] == {"auc": 0.9}
    assert stable.fingerprint == content_fingerprint(model) == content_fingerprint(stable.path)
    assert (stable.path / "assets.extra/statistics/Split-train/FeatureStats.pb").exists()
    assert (stable.path / "assets.extra/schema.pbtxt").read_text() == "feature {}"
    (event,) = releases.history()
    assert (event["what"], event["version"], event["by"], event["why"]) == (
        "push",
        1,
        "me",
        "blessed",
    )
    assert releases.state().startswith("1-")


def test_versions_rise_and_the_same_model_is_one_version(tmp_path):
    releases = Releases(tmp_path / "model")
    models = [saved_model(tmp_path / name, name) for name in "abc"]
    assert [push(releases, model).version for model in models] == [1, 2, 3]

    again = push(releases, models[1])

    assert (again.version, again.created, again.stable) == (2, False, 3)
    assert visible(releases.folder) == ["1", "2", "3"]


def test_a_version_that_was_rolled_back_does_not_come_back_by_itself(tmp_path):
    releases = Releases(tmp_path / "model")
    models = [saved_model(tmp_path / name, name) for name in "ab"]
    for model in models:
        push(releases, model)
    assert releases.before().number == 1
    releases.promote(1, "version 2 answers nonsense")

    again = push(releases, models[1])

    assert (again.version, again.stable) == (2, 1)
    assert releases.stable().number == 1
    assert releases.before().number == 2


def test_numbers_are_not_used_again_after_pruning(tmp_path):
    releases = Releases(tmp_path / "model")
    for name in "abc":
        push(releases, saved_model(tmp_path / name, name))
    releases.promote(2, "back")
    shutil.rmtree(releases.folder / "3")

    assert push(releases, saved_model(tmp_path / "d", "d")).version == 4


def test_old_versions_go_but_never_what_serves_or_the_one_before(tmp_path):
    releases = Releases(tmp_path / "model")
    for name in "abc":
        push(releases, saved_model(tmp_path / name, name))
    releases.promote(1, "back")

    assert releases.before().number == 3
    assert releases.prune(1) == (2,)
    assert visible(releases.folder) == ["1", "3"]
    done = push(releases, saved_model(tmp_path / "e", "e"), keep=1)

    assert done.version == 4
    assert {1, 4} <= {version.number for version in releases.versions()}
    assert releases.before().number == 1


@given(
    st.sets(st.integers(1, 60), min_size=1, max_size=20),
    st.data(),
    st.integers(1, 10),
)
def test_what_may_be_pruned(numbers, data, keep):
    stable = data.draw(st.sampled_from(sorted(numbers)))
    before = data.draw(st.none() | st.sampled_from(sorted(numbers)))

    gone = prunable(sorted(numbers), stable, before, keep)

    left = numbers - set(gone)
    newest = sorted(numbers)[-keep:]
    assert set(gone) <= numbers
    assert stable in left
    assert before is None or before in left
    assert set(newest) <= left
    assert left <= {*newest, stable, before}


def test_keep_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        prunable([1, 2], 2, 1, 0)


def test_what_is_no_saved_model_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ReleaseError, match=r"no saved_model\.pb"):
        push(Releases(tmp_path / "model"), tmp_path / "a")
    assert not (tmp_path / "model").exists()


def test_promoting_an_unknown_version_names_the_known_ones(tmp_path):
    releases = Releases(tmp_path / "model")
    push(releases, saved_model(tmp_path / "a", "a"))
    with pytest.raises(ReleaseError, match=r"no version 7 .* there are 1"):
        releases.promote(7, "?")


def test_a_broken_record_is_named(tmp_path):
    releases = Releases(tmp_path / "model")
    push(releases, saved_model(tmp_path / "a", "a"))
    (releases.folder / "releases.json").write_text("{")
    with pytest.raises(ReleaseError, match="not a release record"):
        releases.stable()


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_version_whose_own_file_is_broken_can_be_taken_back(tmp_path, text):
    releases = Releases(tmp_path / "model")
    for content in ("a", "b"):
        push(releases, saved_model(tmp_path / content, content))
    for number in (1, 2):
        file = releases.folder / str(number) / "assets.extra" / "release.json"
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert releases.rollback("wrong") == 2
    assert releases.stable().number == 1
    assert push(releases, saved_model(tmp_path / "c", "c")).version == 3


def test_a_stable_version_that_is_gone_is_an_error_not_a_first_model(tmp_path):
    releases = Releases(tmp_path / "model")
    push(releases, saved_model(tmp_path / "a", "a"))
    shutil.rmtree(releases.folder / "1")
    with pytest.raises(ReleaseError, match="version 1 serves, but its folder is gone"):
        releases.state()


def test_a_folder_put_there_by_others_keeps_its_number_and_does_not_serve(tmp_path):
    releases = Releases(tmp_path / "model")
    push(releases, saved_model(tmp_path / "a", "a"))
    saved_model(releases.folder / "1700000000", "theirs")
    (releases.folder / "007").mkdir()

    done = push(releases, saved_model(tmp_path / "b", "b"))

    assert done.version == 1700000001
    assert [version.number for version in releases.versions()] == [1, 1700000000, 1700000001]
    assert "found" in [event["what"] for event in releases.history()]


# What a push does, one after the other; it is killed before each.
STEPS = [
    "serving.releases.versions.copy_tree",
    "serving.releases.versions.sync_tree",
    "serving.releases.versions.write_atomically",
    "pathlib.Path.rename",
    "serving.releases.versions.sync_folder",
    "serving.releases.store.Store.write",
    "serving.releases.store.write_atomically",
    "serving.releases.Releases._prune",
    "serving.releases.versions.retire",
    "serving.releases.versions.shutil.rmtree",
]

KILLED = """
import os, signal, sys
from unittest import mock
from serving.releases import Releases
step, folder, model = sys.argv[1:]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
with mock.patch(step, die):
    Releases(folder).push(model, {"metrics": {}}, 1, "blessed")
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_push_killed_anywhere_shows_nothing_half_and_is_mended(tmp_path, step):
    releases = Releases(tmp_path / "model")
    models = [saved_model(tmp_path / name, name) for name in "abc"]
    push(releases, models[0])
    push(releases, models[1])

    killed = subprocess.run([sys.executable, "-c", KILLED, step, releases.folder, models[2]])

    assert killed.returncode == -signal.SIGKILL
    before = {1, 2, 3} & {version.number for version in releases.versions()}
    assert releases.stable().number in (2, 3)
    for number in before:
        assert (releases.folder / str(number) / "saved_model.pb").exists()
        assert (releases.folder / str(number) / "assets.extra/release.json").exists()

    done = push(releases, models[2], keep=1)

    assert (done.version, done.stable) == (3, 3)
    assert releases.before().number == 2
    left = {path.name for path in releases.folder.iterdir()}
    assert left == {"2", "3", "releases.json", ".lock", ".push"}


def test_a_reader_never_sees_half_a_version(tmp_path):
    releases = Releases(tmp_path / "model")
    big = saved_model(tmp_path / "big", "x" * 1_000_000)
    context = multiprocessing.get_context("fork")
    writer = context.Process(target=push, args=(releases, big))
    writer.start()
    seen = []
    while writer.is_alive():
        for version in releases.versions():
            seen.append(content_fingerprint(version.path))
        time.sleep(0.001)
    writer.join()
    assert set(seen) <= {content_fingerprint(big)}
    assert releases.stable().number == 1


def test_pushes_take_turns(tmp_path):
    releases = Releases(tmp_path / "model")
    models = [saved_model(tmp_path / f"m{i}", str(i)) for i in range(6)]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=push, args=(releases, m, 10)) for m in models]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0] * 6
    assert [version.number for version in releases.versions()] == [1, 2, 3, 4, 5, 6]
    record = json.loads((releases.folder / "releases.json").read_text())
    assert (record["stable"], record["next"], len(record["history"])) == (6, 7, 6)


def test_the_fingerprint_is_of_content_and_names(tmp_path):
    model = saved_model(tmp_path / "a", "a")
    first = content_fingerprint(model)
    (model / "assets.extra").mkdir()
    (model / "assets.extra" / "release.json").write_text("{}")
    assert content_fingerprint(model) == first
    (model / "variables").rename(model / "other")
    assert content_fingerprint(model) != first
