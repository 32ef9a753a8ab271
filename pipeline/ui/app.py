"""The pages together, behind their guard."""

from starlette.applications import Starlette
from starlette.middleware import Middleware

from pipeline.settings import Settings
from pipeline.ui.guard import Guard, Seal
from pipeline.ui.rollout import Rollout
from pipeline.ui.run_pages import RunPages
from pipeline.ui.site import Site
from pipeline.ui.version_pages import VersionPages
from serving.releases import ReleaseError


def make(settings: Settings, settings_path: str, seal: Seal, rollout: Rollout) -> Starlette:
    """The ASGI application.

    Args:
      settings: the project's settings.
      settings_path: the file that they come from.
      seal: the server's key.
      rollout: the rollout that the page may start.
    """
    site = Site(settings)
    versions = VersionPages(site, settings, settings_path, seal, rollout)
    return Starlette(
        routes=[*RunPages(site).routes(), *versions.routes()],
        middleware=[
            Middleware(Guard, seal=seal, refuse=lambda why: site.refuse(403, "Not you", why))
        ],
        exception_handlers={
            404: lambda *_: site.refuse(404, "Not found", "There is no such page."),
            405: lambda *_: site.refuse(405, "Not so", "This page takes no such request."),
            Exception: lambda _, error: site.refuse(
                500, "This page cannot be shown", f"{type(error).__name__}: {error}"
            ),
            ReleaseError: lambda _, error: site.refuse(
                500, "The release record cannot be used", str(error)
            ),
        },
    )
