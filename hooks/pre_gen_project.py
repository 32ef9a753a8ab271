"""Checks the answers before anything is written.

Cookiecutter puts them in; nothing else here is Jinja.
"""

import json
import pathlib
import re
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

_SLUG = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
_ENV = r"[A-Za-z_][A-Za-z0-9_]*"
# A registry with or without a port, a path of lower-case names; no tag.
_IMAGE = r"([A-Za-z0-9.-]+(:\d{1,5})?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(@sha256:[0-9a-f]{64})?"
_LONGEST = {"project_name": 80, "description": 200, "author": 80}


def problems(answers: dict[str, str]) -> Iterator[str]:
    """What is wrong with each answer, and what would be right.

    Args:
      answers: by variable of cookiecutter.json what was answered.
    """
    for name, longest in _LONGEST.items():
        value = answers[name]
        if not value.strip():
            yield f"{name} is empty: expected a line of text"
        elif not value.isprintable():
            yield f"{name} is {value!r}: expected one line without control characters"
        elif len(value) > longest:
            yield f"{name} has {len(value)} characters: expected at most {longest}"
        elif re.search(r"[<>`]", value):
            yield f"{name} is {value!r}: expected plain text, without <, > and `"
    slug = answers["project_slug"]
    if not re.fullmatch(_SLUG, slug) or len(slug) > 63:
        yield (
            f"project_slug is {slug!r}: expected up to 63 lower-case letters, digits and single "
            "hyphens, beginning with a letter, such as 'plant-failures'"
        )
    env = answers["database_url_env"]
    if not re.fullmatch(_ENV, env):
        # It may hold a password, so that it is not repeated.
        yield (
            "database_url_env is no name of an environment variable: expected one such as "
            "'PLANT_DB_URL', not what it holds, since answers are kept"
        )
    yield from _kubeflow(answers)


def _kubeflow(answers: dict[str, str]) -> Iterator[str]:
    host = answers["kubeflow_host"]
    if host != "none":
        try:
            url = urlsplit(host)
            known = url.scheme in ("http", "https") and url.hostname and url.port != 0
            known = known and not re.search(r"[\s\"'#?{}]", host)
        except ValueError:
            url, known = None, False
        if url is not None and "@" in url.netloc:
            yield (
                "kubeflow_host holds a user or a password: expected the URL alone, such as "
                "'https://kubeflow.example/pipeline'; a token goes into the variable KFP_TOKEN"
            )
        elif not known:
            yield (
                f"kubeflow_host is {host!r}: expected a URL such as "
                "'https://kubeflow.example/pipeline', or 'none'"
            )
    image = answers["kubeflow_image"]
    if not re.fullmatch(_IMAGE, image):
        yield (
            f"kubeflow_image is {image!r}: expected a name without a tag, such as "
            "'registry.example/plant-failures', or one pinned by '@sha256:' and 64 digits"
        )


if __name__ == "__main__":
    found = list(problems(ANSWERS))
    if any(pathlib.Path.cwd().iterdir()):
        found.append("the folder holds files already: `cruft update` brings a project up to date")
    for problem in found:
        print(f"✗ {problem}", file=sys.stderr)
    sys.exit(bool(found))
