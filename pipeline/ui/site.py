"""What all pages need: the project, and the frame they stand in."""

import pathlib
from typing import Any

from starlette.responses import HTMLResponse, Response

from pipeline.report.page import render
from pipeline.settings import Settings

_HERE = pathlib.Path(__file__).parent


class Site:
    """The project that the pages are of.

    Args:
      settings: the project's settings.

    Attributes:
      project: its name.
      directory: the folder that holds all that runs make.
      objective: the metric that tells most of a model; empty if none is better one way.
    """

    def __init__(self, settings: Settings) -> None:
        self.project = settings.project.name
        self.directory = pathlib.Path(settings.run.directory)
        self.objective = settings.objective[0] if settings.objective else ""

    def page(self, template: str, here: str, code: int = 200, **values: Any) -> Response:
        """A page.

        Args:
          template: its file.
          here: what the navigation calls it; empty if it is not there.
          code: HTTP's.
          values: what the template shows.
        """
        text = render(
            template,
            _HERE / "templates",
            forms=True,
            more_style=_HERE / "style.css",
            here=here,
            project=self.project,
            objective=self.objective,
            **values,
        )
        return HTMLResponse(text, code)

    def refuse(self, code: int, heading: str, text: str) -> Response:
        """A page that says why not."""
        return self.page("refused.html", "", code, heading=heading, text=text)
