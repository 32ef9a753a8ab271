"""The verb ``doctor``: what this machine has and lacks, and how to mend it."""

import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import click
from rich.console import Console
from rich.table import Table

from pipeline import stacks

Verdict = Literal["ok", "lacks", "note"]

_STYLES: dict[Verdict, str] = {
    "ok": "[green]✓[/]",
    "lacks": "[bold red]✗[/]",
    "note": "[yellow]![/]",
}

_STACK = ("tfx", "tensorflow", "tf-keras", "apache-beam", "tensorflow-transform", "tfx-bsl")

# Imported in a process of their own: TFX sets a component to None when its import fails.
_TFX_PROBE = """
from tfx import components
names = ("StatisticsGen", "ExampleValidator", "Transform", "Trainer", "Evaluator")
missing = [n for n in names if getattr(components, n, None) is None]
import tf_keras, tfx_bsl.coders.example_coder
raise SystemExit("failed to import: " + ", ".join(missing) if missing else 0)
"""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing looked at; ``mend`` says what to do where the verdict is not ok."""

    what: str
    verdict: Verdict
    seen: str
    mend: str = ""


def examine(settings_path: pathlib.Path, *, import_tfx: bool = True) -> Iterator[Finding]:
    """Looks at this machine, one thing after the other.

    Args:
      settings_path: the settings file, for the environment variables that it names.
      import_tfx: whether to try TFX's import, which takes ten seconds and more, and to ask the
        registry whether it answers.
    """
    yield _python()
    yield _platform()
    yield from _stacks()
    yield _cores_and_memory()
    yield _disk(pathlib.Path.cwd())
    yield _packages()
    if import_tfx:
        yield _tfx_imports()
    yield _optional("kfp", "kfp", "compiling for Kubeflow Pipelines", "make run installs the lock")
    yield _optional(
        "PostgreSQL driver", "psycopg", "postgresql:// sources", "pip install psycopg[binary]"
    )
    yield _optional("MySQL driver", "pymysql", "mysql:// sources", "pip install pymysql")
    yield _gpu()
    yield from _settings(settings_path, ask=import_tfx)


def _python() -> Finding:
    seen = f"{platform.python_version()} ({sys.executable})"
    if stacks.of_python(_version()) is not None:
        return Finding("Python", "ok", seen)
    known = ", ".join(f"{', '.join(s.pythons)} (TFX {s.name})" for s in stacks.STACKS)
    return Finding(
        "Python",
        "lacks",
        seen,
        f"the TFX stacks run on {known}: call `make run`, which finds or fetches one",
    )


def _version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _platform() -> Finding:
    seen = f"{platform.system()} {platform.machine()}"
    if platform.system() == "Linux":
        seen += (
            f", glibc {stacks.glibc() or 'not found'}, {stacks.newest_glibcxx() or 'no libstdc++'}"
        )
    if any(not stacks.machine_lacks(stack) for stack in stacks.STACKS):
        return Finding("Platform", "ok", seen)
    return Finding("Platform", "lacks", seen, "no TFX stack loads here; use a Linux container")


def _stacks() -> Iterator[Finding]:
    """Which stack runs here, which could, and what keeps this machine from the others."""
    running = stacks.of_python(_version())
    for stack in stacks.STACKS:
        what = f"TFX {stack.name} stack"
        lacks = stacks.machine_lacks(stack)
        if stack == running:
            verdict: Verdict = "lacks" if lacks else "ok"
            yield Finding(what, verdict, "in use", *lacks)
        elif lacks:
            yield Finding(what, "note", "cannot be loaded here", *lacks)
        else:
            pythons = ", ".join(stack.pythons)
            mend = f"TFX={stack.name} make run (on Python {pythons}, found or fetched)"
            yield Finding(what, "ok", "can be loaded here, not in use", mend)


def _cores_and_memory() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    seen = f"{cores} cores, {gibibytes:.1f} GiB"
    if gibibytes < 4:
        return Finding("Cores, memory", "note", seen, "4 GiB and more are comfortable")
    return Finding("Cores, memory", "ok", seen)


def _disk(folder: pathlib.Path) -> Finding:
    free = shutil.disk_usage(folder).free / 2**30
    if free < 2:
        return Finding("Disk", "lacks", f"{free:.1f} GiB free", "free some: runs keep data in var/")
    return Finding("Disk", "ok", f"{free:.0f} GiB free")


def _packages() -> Finding:
    found, missing = [], []
    for name in _STACK:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    mend = "call `make run`, which installs the lock into .venv"
    if missing:
        return Finding("Packages", "lacks", f"missing: {', '.join(missing)}", mend)
    running = stacks.of_python(_version())
    if running is not None and not found[0].startswith(f"tfx {running.name}."):
        mend = f"on Python {_version()} this project runs TFX {running.name}: {mend}"
        return Finding("Packages", "lacks", ", ".join(found), mend)
    return Finding("Packages", "ok", ", ".join(found))


def _tfx_imports() -> Finding:
    started = time.monotonic()
    probe = subprocess.run(
        [sys.executable, "-c", _TFX_PROBE],
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    seconds = time.monotonic() - started
    if probe.returncode == 0:
        return Finding("TFX import", "ok", f"{seconds:.0f} s")
    lines = [line for line in probe.stderr.strip().splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {probe.returncode}"
    return Finding("TFX import", "lacks", last, "call `make clean-all run` for a fresh .venv")


def _optional(what: str, module: str, needed_for: str, mend: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding(what, "note", "not installed", f"only {needed_for} needs it: {mend}")
    try:
        version = importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        version = "installed"
    return Finding(what, "ok", version)


def _gpu() -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", "ok", "none: training uses the processor")
    probe = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode:
        return Finding("GPU", "note", "nvidia-smi fails", "the driver is not loaded")
    return Finding("GPU", "ok", "; ".join(probe.stdout.strip().splitlines()))


def _settings(path: pathlib.Path, ask: bool) -> Iterator[Finding]:
    from pipeline.settings import SettingsError, load_settings

    try:
        settings = load_settings(path)
    except SettingsError as error:
        yield Finding(str(path), "lacks", str(error).splitlines()[0], "python -m pipeline check")
        return
    yield Finding(str(path), "ok", "sources " + ", ".join(settings.sources))
    if ask and settings.registry is not None:
        yield registry(settings.serving.model_directory, settings.registry.model_dump())
    for name, source in settings.sources.items():
        for variable in source.variables:
            url = getattr(source, "url", None)
            if variable in os.environ:
                yield Finding(name, "ok", f"{variable} is set")
            elif url is not None:
                yield Finding(name, "ok", f"{variable} is not set: uses {url}")
            else:
                example = "postgresql://user:password@host/database"
                mend = f"export {variable}={example if source.kind == 'sql' else '…'}"
                yield Finding(name, "lacks", f"{variable} is not set", mend)


def registry(folder: str, settings: Mapping[str, Any]) -> Finding:
    """Asks the release record's mirror whether it answers.

    Args:
      folder: the served model's folder.
      settings: what stands under ``registry:``.
    """
    from serving.registry.background import ask

    try:
        return Finding("Registry", "ok", ask(folder, settings, "reach", seconds=60.0))
    except RuntimeError as error:
        mend = "releases go on without it; when it is back: python -m pipeline registry"
        return Finding("Registry", "note", str(error), mend)


@click.command()
@click.option("--quick", is_flag=True, help="Leave out the import of TFX and the registry.")
@click.pass_obj
def command(settings_path: str, quick: bool) -> None:
    """Say what this machine has and lacks, and how to mend it."""
    console = Console()
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    lacks = 0
    with console.status("looking …"):
        for finding in examine(pathlib.Path(settings_path), import_tfx=not quick):
            lacks += finding.verdict == "lacks"
            mend = f"\n[dim]{finding.mend}[/]" if finding.mend else ""
            table.add_row(_STYLES[finding.verdict], finding.what, f"{finding.seen}{mend}")
    console.print(table)
    if lacks:
        console.print(f"[bold red]{lacks} to mend.[/]")
        sys.exit(1)
    console.print("[green]This machine can run the pipeline.[/]")
