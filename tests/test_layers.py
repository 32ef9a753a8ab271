"""What a folder may import of this repository: lower layers know nothing of higher ones."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("benchmarks", "components", "demo", "observability", "pipeline", "serving", "trainer")
MAY_IMPORT = {
    "observability": ("observability",),
    "demo": ("demo",),
    "trainer": ("trainer",),
    "components/ingest": ("components.ingest",),
    "components": ("components", "observability", "serving", "trainer"),
    "serving/releases": ("serving.folders", "serving.releases"),
    "serving": ("components", "observability", "serving"),
    "pipeline": ("components", "demo", "observability", "pipeline", "serving", "trainer"),
}


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_lies_below_it(folder: str) -> None:
    allowed = tuple(f"{module}." for module in MAY_IMPORT[folder])
    read = [
        (file, module)
        for file in sorted((ROOT / folder).rglob("*.py"))
        for module in imported(file)
        if module.partition(".")[0] in OURS
    ]
    assert read
    wrong = [(file, module) for file, module in read if not f"{module}.".startswith(allowed)]
    assert not [f"{file.relative_to(ROOT)} imports {module}" for file, module in wrong]
