"""Packages the project, so that Beam's workers and the container can install it."""

import pathlib
import re
import runpy

import setuptools

ROOT = pathlib.Path(__file__).parent
STACKS = runpy.run_path(str(ROOT / "pipeline" / "stacks.py"))
PACKAGES = ["components", "demo", "observability", "pipeline", "schemas", "serving", "trainer"]


def named(path: pathlib.Path) -> list[str]:
    """The requirements of an .in file and of those it includes."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found += named(path.parent / line[3:].strip())
        elif line and not line.startswith("#"):
            found.append(line)
    return found


def requirements() -> list[str]:
    """Each stack's requirements, for its Pythons: loose; the locks hold exact versions."""
    return [
        f"{line}; {stack.markers}"
        for stack in STACKS["STACKS"]
        for line in named(ROOT / "requirements" / f"tfx-{stack.name}.in")
    ]


def project() -> str:
    """The project's name in settings.yaml."""
    settings = ROOT / "settings.yaml"
    text = settings.read_text(encoding="utf-8") if settings.exists() else ""
    found = re.search(r"^project:\s*\{?\s*name:\s*([a-z0-9-]+)", text, re.MULTILINE)
    return found[1] if found else "tfx-pipeline"


setuptools.setup(
    name=project(),
    version="0.1.0",
    description="A TFX pipeline from SQL and sensor data to a checked, released model",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_files=["LICENSE"],
    python_requires=STACKS["requires_python"](),
    packages=setuptools.find_namespace_packages(
        include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]
    ),
    package_data={
        "pipeline.report.templates": ["sections/*.html"],
        "schemas": ["*.pbtxt"],
        "demo": ["README.md"],
        "pipeline.report": ["*.css", "templates/*.html"],
        "pipeline.ui": ["*.css", "templates/*.html"],
        "pipeline.monitor": ["*.html"],
    },
    install_requires=requirements(),
    extras_require={
        extra: named(ROOT / "requirements" / f"{extra}.in")
        for extra in ("bigquery", "mlflow", "snowflake", "stores", "streams")
    },
    entry_points={"console_scripts": ["pipeline = pipeline.__main__:main"]},
)
