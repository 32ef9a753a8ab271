"""What each TFX stack asks of a machine, and that its locks keep to it."""

import pathlib
import platform
import re
import subprocess
import sys

import pytest

from pipeline import stacks

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEWEST, OLDEST = stacks.STACKS[0], stacks.STACKS[-1]


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine on which every stack loads."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(stacks, "glibc", lambda: "2.41")
    monkeypatch.setattr(stacks, "newest_glibcxx", lambda: "GLIBCXX_3.4.33")
    return monkeypatch


def test_this_python_has_a_stack_that_this_machine_loads() -> None:
    stack = stacks.of_python(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert stack is not None
    assert stacks.machine_lacks(stack) == []


def test_a_current_linux_lacks_nothing(linux: pytest.MonkeyPatch) -> None:
    assert [stacks.machine_lacks(stack) for stack in stacks.STACKS] == [[], []]


def test_an_older_c_library_holds_back_the_newest_stack_only(linux: pytest.MonkeyPatch) -> None:
    linux.setattr(stacks, "glibc", lambda: "2.36")
    (why,) = stacks.machine_lacks(NEWEST)
    assert why == (
        "it needs glibc 2.39 or newer (Ubuntu 24.04, Debian 13, Fedora 40), "
        "and this machine has 2.36"
    )
    assert stacks.machine_lacks(OLDEST) == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("glibc", None, "C library is not glibc"),
        ("newest_glibcxx", "GLIBCXX_3.4.30", "libstdc++ with GLIBCXX_3.4.32"),
        ("newest_glibcxx", None, "apt install libstdc++6"),
    ],
)
def test_what_a_linux_lacks_is_told(
    linux: pytest.MonkeyPatch, name: str, value: str | None, told: str
) -> None:
    linux.setattr(stacks, name, lambda: value)
    (why,) = stacks.machine_lacks(NEWEST)
    assert told in why


def test_apple_silicon_runs_the_newest_stack_only(linux: pytest.MonkeyPatch) -> None:
    linux.setattr(platform, "system", lambda: "Darwin")
    linux.setattr(platform, "machine", lambda: "arm64")
    assert stacks.machine_lacks(NEWEST) == []
    (why,) = stacks.machine_lacks(OLDEST)
    assert why == "its wheels are for Linux on x86_64, this is Darwin on arm64"


def test_unknown_stack_is_told_with_the_known() -> None:
    with pytest.raises(ValueError, match=r"TFX=1\.17: .*known are 1\.21, 1\.16"):
        stacks.named("1.17")
    assert stacks.of_python("3.9") is None


def test_python_versions_as_markers_and_range() -> None:
    assert NEWEST.markers == "python_version >= '3.11' and python_version < '3.14'"
    assert OLDEST.markers == "python_version >= '3.10' and python_version < '3.11'"
    assert stacks.requires_python() == ">=3.10,<3.14"


def test_it_answers_without_any_package() -> None:
    """prepare.sh asks it before anything is installed."""

    def ask(*words: str) -> str:
        command = [sys.executable, "-I", "-S", str(ROOT / "pipeline/stacks.py"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert ask("names") == "1.21 1.16\n"
    assert ask("pythons", "1.16") == "3.10\n"
    assert ask("lacks", "1.16") == "".join(f"{w}\n" for w in stacks.machine_lacks(OLDEST))


def pins(lock: str) -> dict[str, set[str]]:
    """Each package of a lock with its versions: several where they differ by Python."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / lock).read_text().splitlines():
        if pin := re.match(r"([a-z0-9._-]+)==([^ ;\\]+)", line):
            found.setdefault(pin[1], set()).add(pin[2])
    return found


@pytest.mark.parametrize("stack", stacks.STACKS, ids=lambda s: s.name)
def test_locks_hold_the_stack_and_agree(stack: stacks.Stack) -> None:
    run, dev = pins(f"tfx-{stack.name}.txt"), pins(f"tfx-{stack.name}-dev.txt")
    assert run["tfx"] == {f"{stack.name}.0"}
    assert {name: dev[name] for name in run} == run
    assert "pytest" in dev.keys() - run.keys()


def test_advisories_speak_of_what_is_locked() -> None:
    """A row whose package moved on must be looked at again."""
    text = (ROOT / "requirements/advisories.md").read_text()
    rows = re.findall(
        r"^\| (?:CVE|GHSA|PYSEC)-\S+ \| (\S+) ([^,]+), ([^|]+) \|", text, re.MULTILINE
    )
    assert len(rows) == len(re.findall(r"^\| (?:CVE|GHSA|PYSEC)-", text, re.MULTILINE)) > 5
    for package, versions, names in rows:
        wanted = [s.name for s in stacks.STACKS] if names == "both" else [names]
        locked = set().union(*(pins(f"tfx-{name}.txt")[package] for name in wanted))
        assert locked == set(versions.split(" and ")), package
