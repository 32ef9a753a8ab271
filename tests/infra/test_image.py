"""The image's Dockerfile against the repository, and what build.sh asks of each engine.

The image itself is built by `infra/image/try.sh`, which takes minutes and needs root.
"""

import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable

import kubernetes_validate
import pytest
import yaml

from pipeline import stacks
from pipeline.settings import load_settings
from tests.demo_project import CLUSTER_SETTINGS, PLANT

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = ROOT / "infra/image"
LOCK = ROOT / "requirements/tfx-1.21.txt"
DIGEST = f"sha256:{'7' * 64}"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its argument on one line."""
    text = re.sub(r"^#.*\n", "", (IMAGE / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def arguments(of: str) -> list[str]:
    return [rest for word, rest in instructions() if word == of]


def sources() -> set[str]:
    """What is copied from the checkout."""
    copies = [rest.split() for rest in arguments("COPY") if not rest.startswith("--from=")]
    return {source for words in copies for source in words[:-1]}


def pins(lock: pathlib.Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), flags=re.MULTILINE))


def test_what_is_copied_is_there():
    for source in sources():
        # A project of one's own tables has its schema only once `init` made it.
        assert (ROOT / source).exists() or (PLANT / source).exists(), source


def test_nothing_else_is_sent_to_the_builder():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules[1:] if rule[0] != "!"} == {"**/__pycache__"}
    sent = {rule[1:] for rule in rules if rule[0] == "!"}
    assert sent == {source.partition("/")[0] for source in sources()}


def test_packages_are_those_of_the_lock():
    (default,) = [rest for rest in arguments("ARG") if rest.startswith("LOCKS=")]
    assert default == "LOCKS=requirements/tfx-1.21.txt"
    (sync,) = [rest for rest in arguments("RUN") if " pip sync " in rest]
    assert "--require-hashes" in sync and sync.count("${LOCKS}") == 1
    assert "--require-hashes" in next(r for r in arguments("RUN") if "/pip install" in r)
    (beam,) = [rest for rest in arguments("ARG") if rest.startswith("BEAM_SDK=")]
    python, version = re.fullmatch(r"BEAM_SDK=\S+/beam_python(\S+)_sdk:(\S+)", beam).groups()
    assert version == pins(LOCK)["apache-beam"]
    assert python in next(s for s in stacks.STACKS if s.name == "1.21").pythons


def test_cudas_libraries_change_no_other_package():
    gpu, without = pins(ROOT / "requirements/gpu.txt"), pins(LOCK)
    assert {name for name in gpu if not name.startswith("nvidia-")} <= set(without)
    assert not {name for name in gpu if name in without and gpu[name] != without[name]}
    assert {"nvidia-cudnn-cu12", "nvidia-cuda-runtime-cu12"} <= set(gpu)


def test_tasks_are_not_root_and_nothing_comes_from_an_address():
    assert arguments("USER") == ["10001:10001"]
    words = [word for word, _ in instructions()]
    assert "ADD" not in words
    after = instructions()[words.index("USER") :]
    assert not [rest for word, rest in after if word == "RUN"]
    assert not [rest for rest in arguments("RUN") if re.search(r"https?://|curl|wget", rest)]


@pytest.fixture
def build(tmp_path: pathlib.Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Calls build.sh in a checkout of its own, with stand-ins for the engines that it may find."""
    checkout, tools = tmp_path / "checkout", tmp_path / "tools"
    shutil.copytree(IMAGE, checkout / "infra/image")
    (checkout / "settings.yaml").write_text("project: {name: plant}\n")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(checkout)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    (checkout / "settings.yaml").write_text("password: hunter2\n")
    (checkout / "secret.txt").write_text("hunter2\n")
    tools.mkdir()

    def call(*words: str, engine: str | None = None, **environment: str):
        if engine is not None:
            (tools / engine).write_text(
                f"""#!/bin/sh
echo "$@" >>{tmp_path}/calls
case "$1" in
    inspect) echo "other.example/x@{DIGEST}"; echo "registry.example/plant@{DIGEST}" ;;
    build) for last; do :; done; cp -r "$last" {tmp_path}/context ;;
    push) [ "$2" != --digestfile ] || printf {DIGEST} >"$3" ;;
esac
"""
            )
            (tools / engine).chmod(0o755)
        return subprocess.run(
            [checkout / "infra/image/build.sh", *words],
            env={"PATH": f"{tools}:/usr/bin:/bin", "ENGINE": engine or "none"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_a_pushed_image_is_named_by_its_digest(build, tmp_path, engine):
    done = build("--push", "registry.example/plant", engine=engine)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"registry.example/plant@{DIGEST}\n"
    assert "Uncommitted changes are left out" in done.stderr
    assert (tmp_path / "context/settings.yaml").read_text() == "project: {name: plant}\n"
    assert not (tmp_path / "context/secret.txt").exists()
    asked = next(c for c in (tmp_path / "calls").read_text().splitlines() if c.startswith("build"))
    commit = re.search(r"revision=([0-9a-f]{40})", asked)[1]
    assert "LOCKS=requirements/tfx-1.21.txt " in asked and "--target pipeline " in asked
    assert f"--tag registry.example/plant:{commit[:12]}" in asked


def test_cuda_beams_workers_and_another_base_are_asked_for(build, tmp_path):
    done = build("--gpu", "--beam", "plant:3", engine="podman", BASE="company/debian:13")
    assert (done.returncode, done.stdout) == (0, "")
    asked = (tmp_path / "calls").read_text()
    assert "LOCKS=requirements/tfx-1.21.txt requirements/gpu.txt" in asked
    assert "--target pipeline-and-workers --tag plant:3" in asked
    assert "BASE=company/debian:13" in asked
    assert "push" not in asked


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["plant"], "Nothing here builds images: tried none."),
        (["--gup", "plant"], "unknown option --gup; known are --push, --gpu and --beam"),
        ([], "usage: build.sh"),
    ],
)
def test_what_is_missing_is_told(build, words, told):
    done = build(*words)
    assert done.returncode != 0
    assert told in done.stderr


def test_the_volumes_manifest_fits_the_example_settings():
    claim, job = yaml.safe_load_all((ROOT / "infra/kubeflow/volume.yaml").read_text())
    for manifest in (claim, job):
        kubernetes_validate.validate(manifest, "1.32", strict=True)
    settings = load_settings(CLUSTER_SETTINGS)
    (volume,) = settings.kubeflow.node("Champion").volumes
    assert volume.claim == claim["metadata"]["name"]
    pod = job["spec"]["template"]["spec"]
    (owner,) = pod["initContainers"]
    assert owner["command"] == ["chown", arguments("USER")[0], volume.path]
    for container in (owner, *pod["containers"]):
        assert container["volumeMounts"] == [{"name": "plant", "mountPath": volume.path}]
