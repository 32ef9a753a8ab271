"""One copy of the template, one project of all defaults."""

import pathlib

import pytest

from template_tests.baking import bake, copy_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A git repository with the template as it stands here; nobody changes it."""
    return copy_template(tmp_path_factory.mktemp("template") / "repository")


@pytest.fixture(scope="session")
def default(template: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A project of all defaults, baked from an absolute path."""
    told, project = bake(tmp_path_factory.mktemp("default") / "here", str(template))
    assert told.code == 0, told.told
    return project
