"""Turns templates into whole pages: style inlined, values escaped, network forbidden.

``templates/base.html`` is the frame of every page, ``templates/parts.html`` holds the macros that
pages share.
"""

import base64
import functools
import hashlib
import pathlib
import re
from typing import Any

import jinja2
import markupsafe

from pipeline.report import numbers

_HERE = pathlib.Path(__file__).parent
_JOINT = re.compile(r"(?<=_)|(?<=[a-z])(?=[A-Z])")


def breakable(name: object) -> markupsafe.Markup:
    """A long name that may break after an underscore, or where a word begins."""
    return markupsafe.Markup("<wbr>").join(_JOINT.split(str(name)))


_FILTERS = (
    numbers.count,
    numbers.percent,
    numbers.decimal,
    numbers.change,
    numbers.duration,
    numbers.instant,
    numbers.day,
    numbers.moment,
    breakable,
)


def render(
    template: str,
    *folders: pathlib.Path,
    forms: bool = False,
    more_style: pathlib.Path | None = None,
    **values: Any,
) -> str:
    """A page as HTML.

    Args:
      template: its file's name.
      folders: where it is looked for before ``templates`` beside this module.
      forms: whether the page may send forms to where it came from.
      more_style: a style sheet that follows the shared one.
      values: what the template shows.
    """
    sheets = (_HERE / "style.css", *([more_style] if more_style else []))
    style = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    return (
        _environment(folders)
        .get_template(template)
        .render(
            style=jinja2.utils.markupsafe.Markup(style),
            policy=_policy(style, forms),
            # Without a referrer a browser does not say either where a form comes from.
            referrer="same-origin" if forms else "no-referrer",
            **values,
        )
    )


@functools.cache
def _environment(folders: tuple[pathlib.Path, ...]) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _HERE / "templates"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {filter_.__name__: filter_ for filter_ in _FILTERS}
    return environment


def _policy(style: str, forms: bool) -> str:
    """A Content Security Policy: the one style, and nothing from anywhere, scripts included."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
        f"form-action {repr('self') if forms else repr('none')}"
    )
