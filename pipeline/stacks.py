"""The TFX stacks that this project runs on, and what each asks of a machine.

Everything that differs between the stacks stands in this file and in ``requirements/tfx-*.in``,
each with its reason. The file runs on any Python 3.8 or newer without a package installed, because
choosing the stack comes before installing it::

    python -I pipeline/stacks.py names            the stacks, newest first
    python -I pipeline/stacks.py pythons 1.21     the Python versions that it runs on, best first
    python -I pipeline/stacks.py lacks 1.21       what this machine lacks for it, a line each
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from typing import NamedTuple


class Stack(NamedTuple):
    """A TFX release with what its wheels need.

    Attributes:
      name: TFX's minor version, as the locks' names and ``TFX=`` spell it.
      pythons: minor versions of Python, best first.
      platforms: pairs of operating system and processor, as ``platform`` names them.
      glibc: the oldest C library on Linux that installers accept its wheels for.
      glibcxx: the symbol version that its C++ code asks of libstdc++ on Linux.
      systems: the oldest distributions that have both.
    """

    name: str
    pythons: tuple[str, ...]
    platforms: tuple[tuple[str, str], ...]
    glibc: tuple[int, int]
    glibcxx: str
    systems: str

    @property
    def markers(self) -> str:
        """Its Python versions as an environment marker (PEP 508)."""
        lowest, above = _bounds(self.pythons)
        return f"python_version >= '{lowest}' and python_version < '{above}'"


STACKS = (
    # The wheels of ml-metadata and tensorflow-data-validation 1.21 are tagged manylinux_2_39 and
    # built with GCC 13 (GLIBCXX_3.4.32). Their symbols would do with glibc 2.38, the tag does not.
    Stack(
        name="1.21",
        # 3.11 first: the only one for which TFX's own extra names kfp.
        pythons=("3.11", "3.12", "3.13"),
        platforms=(("Linux", "x86_64"), ("Darwin", "arm64")),
        glibc=(2, 39),
        glibcxx="GLIBCXX_3.4.32",
        systems="Ubuntu 24.04, Debian 13, Fedora 40",
    ),
    # Its wheels (manylinux2014) load on every current Linux, but none is for a Python that still
    # gets security fixes.
    Stack(
        name="1.16",
        pythons=("3.10",),
        platforms=(("Linux", "x86_64"),),
        glibc=(2, 17),
        glibcxx="GLIBCXX_3.4.19",
        systems="every current distribution",
    ),
)


def named(name: str) -> Stack:
    """The stack of that name.

    Raises:
      ValueError: there is none.
    """
    for stack in STACKS:
        if stack.name == name:
            return stack
    names = ", ".join(stack.name for stack in STACKS)
    raise ValueError(f"TFX={name}: there is no such stack; known are {names}")


def of_python(version: str) -> Stack | None:
    """The newest stack for a Python's minor version such as ``3.11``; None if there is none."""
    return next((stack for stack in STACKS if version in stack.pythons), None)


def requires_python() -> str:
    """The Python versions of all stacks as a version specifier (PEP 440)."""
    lowest, above = _bounds(tuple(version for stack in STACKS for version in stack.pythons))
    return f">={lowest},<{above}"


def machine_lacks(stack: Stack) -> list[str]:
    """What keeps this machine from loading a stack, as this interpreter sees it: a clause each."""
    here = (platform.system(), platform.machine())
    if here not in stack.platforms:
        wheels = " and ".join(f"{system} on {processor}" for system, processor in stack.platforms)
        return [f"its wheels are for {wheels}, this is {here[0]} on {here[1]}"]
    if here[0] != "Linux":
        return []
    found = glibc()
    wanted = ".".join(map(str, stack.glibc))
    if found is None:
        return [f"it needs glibc {wanted} or newer, and this machine's C library is not glibc"]
    if _numbers(found) < stack.glibc:
        return [f"it needs glibc {wanted} or newer ({stack.systems}), and this machine has {found}"]
    newest = newest_glibcxx()
    if newest is None:
        return ["it needs libstdc++.so.6, which is not installed: apt install libstdc++6"]
    if _numbers(newest) < _numbers(stack.glibcxx):
        return [f"it needs libstdc++ with {stack.glibcxx}, and this machine's ends at {newest}"]
    return []


def _bounds(pythons: tuple[str, ...]) -> tuple[str, str]:
    """The lowest of some minor versions, and the one above the highest."""
    ordered = sorted(pythons, key=_numbers)
    major, minor = _numbers(ordered[-1])
    return ordered[0], f"{major}.{minor + 1}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def glibc() -> str | None:
    """The version of the C library that this interpreter runs on, if it is glibc."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):
        return None
    return version if name == "glibc" else None


def newest_glibcxx() -> str | None:
    """The newest symbol version of the libstdc++ that this interpreter loads."""
    try:
        ctypes.CDLL("libstdc++.so.6")
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123
            path = next(line.split(None, 5)[5].strip() for line in maps if "libstdc++.so" in line)
        with open(path, "rb") as library:  # noqa: PTH123
            versions = re.findall(rb"GLIBCXX_\d[\d.]*\d", library.read())
    except (OSError, StopIteration):
        return None
    return max((version.decode() for version in versions), key=_numbers, default=None)


def main(arguments: list[str]) -> int:
    """Answers what ``infra/environment/`` asks."""
    if arguments == ["names"]:
        print(*(stack.name for stack in STACKS))
        return 0
    if len(arguments) != 2 or arguments[0] not in ("pythons", "lacks"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        stack = named(arguments[1])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments[0] == "pythons":
        print(*stack.pythons)
    else:
        for clause in machine_lacks(stack):
            print(clause)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
