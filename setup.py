"""Packages the project, so that Beam's workers and the container can install it."""

import pathlib

import setuptools

ROOT = pathlib.Path(__file__).parent
PACKAGES = ["components", "demo", "pipeline", "schemas", "serving", "trainer"]


def requirements() -> list[str]:
    """What requirements/tfx-1.16.in names: loose; the locks beside it hold exact versions."""
    lines = (ROOT / "requirements" / "tfx-1.16.in").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


setuptools.setup(
    name="tfx-pipeline-template",
    version="0.1.0",
    description="A TFX pipeline from SQL and sensor data to a checked, released model",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.11",
    packages=setuptools.find_namespace_packages(
        include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]
    ),
    package_data={"schemas": ["*.pbtxt"], "demo": ["README.md"]},
    install_requires=requirements(),
    entry_points={"console_scripts": ["pipeline = pipeline.__main__:main"]},
)
