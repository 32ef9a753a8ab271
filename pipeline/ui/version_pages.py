"""The pages about versions, and the forms that move them."""

import pathlib
import secrets
import urllib.parse

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pipeline.releases import opened
from pipeline.settings import Settings
from pipeline.ui.guard import Seal
from pipeline.ui.moves import ROLLOUT, Move
from pipeline.ui.orders import Orders, Told
from pipeline.ui.rollout import Rollout
from pipeline.ui.site import Site
from pipeline.ui.versions import Standing
from serving.registry.standing import behind
from serving.releases import ReleaseError, Releases
from serving.releases.record import login

_EMPTY = "Say why: the history keeps the reason."
_CHANGED = (
    "The versions changed since this page was shown, by somebody else or by a rollout. Look at "
    "them as they are now, then decide again."
)
_UNCHANGED = "Nothing was changed"


class VersionPages:
    """All versions; a form for each move, which says what it would do, and does it when sent.

    Args:
      site: the project.
      settings: the project's settings.
      settings_path: the file that they come from; a move reads it anew, as the verbs do.
      seal: the server's key.
      rollout: the rollout that may be started.
    """

    def __init__(
        self, site: Site, settings: Settings, settings_path: str, seal: Seal, rollout: Rollout
    ) -> None:
        self._site, self._settings_path, self._seal, self._rollout = (
            site,
            settings_path,
            seal,
            rollout,
        )
        self._serving = settings.serving
        self._mirrored = settings.registry is not None
        self._orders = Orders()

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/versions", self.all),
            Route("/versions/{number:int}/{move}", self.ask),
            Route("/versions/{number:int}/{move}", self.order, methods=["POST"]),
            Route("/rollout/stop", self.stop, methods=["POST"]),
        ]

    def all(self, request: Request) -> Response:
        """All versions, and what happened to them."""
        standing = self._standing()
        return self._site.page(
            "versions.html",
            "Versions",
            model=self._serving.model,
            rows=standing.rows(),
            history=standing.history,
            watched=standing.watched(),
            rollout=self._rollout,
            stop_seal=self._seal.of("stop"),
            behind=behind(Releases(self._serving.model_directory)) if self._mirrored else "",
            told=self._orders.told(request.query_params.get("order", "")),
        )

    def ask(self, request: Request) -> Response:
        """What a move would do, and whether it is meant."""
        return self._ask(request.path_params["number"], request.path_params["move"])

    async def order(self, request: Request) -> Response:
        """Makes a move."""
        number, name = request.path_params["number"], request.path_params["move"]
        return await run_in_threadpool(self._order, number, name, await _fields(request))

    async def stop(self, request: Request) -> Response:
        """Ends the rollout that was started here."""
        fields = await _fields(request)
        if not self._seal.stands(fields.get("seal", ""), "stop"):
            return self._not_ours()
        await run_in_threadpool(self._rollout.stop)
        return RedirectResponse("/versions", 303)

    def _order(self, number: int, name: str, fields: dict[str, str]) -> Response:
        order, seen, why = (fields.get(field, "") for field in ("order", "seen", "why"))
        if not self._seal.stands(fields.get("seal", ""), str(number), name, seen, order):
            return self._not_ours()
        if name != ROLLOUT and not why.strip():
            return self._ask(number, name, _EMPTY)
        told = self._orders.carry_out(order, lambda: self._move(number, name, why.strip(), seen))
        if not told.done:
            return self._site.refuse(409, _UNCHANGED, told.text)
        return RedirectResponse(f"/versions?{urllib.parse.urlencode({'order': order})}", 303)

    def _move(self, number: int, name: str, why: str, seen: str) -> Told:
        standing = self._standing()
        move = _named(standing, number, name)
        if move is None or standing.revision != seen:
            return Told(_CHANGED, False)
        if name == ROLLOUT:
            started = self._rollout.start()
            return Told(move.done if started else "A rollout is running already.", started)
        try:
            releases, mirror = opened(self._settings_path)
            move.make(releases, why, f"ui ({login()})", seen)
        except (ReleaseError, OSError) as error:
            return Told(str(error), False)
        follows = f" {mirror.follows()}" if mirror else ""
        return Told(f"{move.done}{follows}", True)

    def _ask(self, number: int, name: str, wrong: str = "") -> Response:
        standing = self._standing()
        move = _named(standing, number, name)
        if move is None:
            row = standing.row(number)
            known = f"Version {number} is {row.status.state}" if row else f"No version {number}"
            text = f"{known}: {name!r} cannot be done with it now."
            return self._site.refuse(409 if row else 404, "Not possible", text)
        order = secrets.token_urlsafe(12)
        return self._site.page(
            "confirm.html",
            "Versions",
            400 if wrong else 200,
            move=move,
            changes=standing.changes(move),
            command=" ".join(["python", *self._rollout.command]) if name == ROLLOUT else "",
            wrong=wrong,
            seen=standing.revision,
            order=order,
            seal=self._seal.of(str(number), name, standing.revision, order),
        )

    def _standing(self) -> Standing:
        plan = self._serving.canary.plan(self._serving.latency_p99_ms)
        return Standing(pathlib.Path(self._serving.model_directory), plan)

    def _not_ours(self) -> Response:
        return self._site.refuse(403, _UNCHANGED, "This form is not from this page.")


async def _fields(request: Request) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl((await request.body()).decode("utf-8", "replace")))


def _named(standing: Standing, number: int, name: str) -> Move | None:
    row = standing.row(number)
    return next((move for move in row.moves if move.name == name), None) if row else None
