"""The pages about runs."""

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from pipeline.report import report
from pipeline.ui import comparison, facts, runs
from pipeline.ui.site import Site

_RUNS_A_PAGE = 25


class RunPages:
    """All runs, one run, its report, two runs side by side."""

    def __init__(self, site: Site) -> None:
        self._site, self._directory = site, site.directory

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/", self.all),
            Route("/runs/{run_id}", self.one),
            Route("/runs/{run_id}/report", self.report),
            Route("/compare", self.compare),
        ]

    def all(self, request: Request) -> Response:
        """All runs, the newest first."""
        number = request.query_params.get("page", "")
        page = runs.page(self._directory, int(number) if number.isdecimal() else 1, _RUNS_A_PAGE)
        metrics = {run.run_id: self._metric(facts.of(self._directory, run)) for run in page.runs}
        return self._site.page("runs.html", "Runs", page=page, metrics=metrics)

    def one(self, request: Request) -> Response:
        """One run."""
        run = runs.find(self._directory, request.path_params["run_id"])
        if run is None:
            return self._unknown()
        found = facts.of(self._directory, run)
        pushed = [s.value for s in found.samples if s.name == "pipeline_version_pushed"]
        return self._site.page(
            "run.html",
            "Runs",
            run=run,
            metric=self._metric(found),
            version=int(pushed[0]) if pushed else 0,
            problem=found.problem,
        )

    def report(self, request: Request) -> Response:
        """The page about one run: as it was written at the run's end, else as things stand."""
        run = runs.find(self._directory, request.path_params["run_id"])
        if run is None:
            return self._unknown()
        written = self._directory / "runs" / run.run_id / report.FILE
        if run.ended and written.is_file():
            return FileResponse(written)
        found = facts.of(self._directory, run)
        if found.made is None:
            return self._site.refuse(500, "No report", found.problem)
        return HTMLResponse(report.render(found.made, self._site.project))

    def compare(self, request: Request) -> Response:
        """Two runs side by side."""
        names = request.query_params.getlist("run")
        if len(names) != 2:
            told = f"{len(names)} runs were ticked: tick two."
            return self._site.refuse(400, "Which two?", told)
        # The older one first: what the newer one changed is the question.
        first, second = (runs.find(self._directory, name) for name in sorted(names))
        if first is None or second is None:
            return self._unknown()
        one, two = facts.of(self._directory, first), facts.of(self._directory, second)
        return self._site.page(
            "compare.html",
            "Runs",
            runs={"A": first, "B": second},
            problems=sorted({known.problem for known in (one, two) if known.problem}),
            metrics=comparison.metrics(one, two),
            same_examples=comparison.same_examples(one, two),
            curves=list(comparison.curves(("A", "B"), one, two)),
            settings=comparison.settings(one, two),
            schema=comparison.schema(one, two),
            data=comparison.data(one, two),
            training=comparison.training(one, two),
            durations=comparison.durations(first, second),
        )

    def _metric(self, found: facts.Facts) -> float | None:
        return found.metric(self._site.objective) if self._site.objective else None

    def _unknown(self) -> Response:
        return self._site.refuse(404, "Not found", "There is no such run.")
