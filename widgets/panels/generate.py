"""The form, Generate and Stop: crystals are made without blocking the notebook."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from tempfile import TemporaryDirectory
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Listeners, Notice, Panel, counted
from crystal_ldm.widgets.controls.form import RequestForm
from crystal_ldm.widgets.jobs import Job, duration
from crystal_ldm.widgets.layout import column, disable, row, show_if
from crystal_ldm.widgets.panels.models import ModelPicker
from crystal_ldm.widgets.session import Request, Session

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.diffusion import SamplerStep, StopSampling
from crystal_ldm.recipe import makes_crystals_of
from crystal_ldm.runs.sample_run import SampleRun
from crystal_ldm.sampling import SampleResult, SamplingSettings, keyword_call
from crystal_ldm.sampling.sample import iter_sample, place_order

FIRST = 4
"""Crystals made before all others, so that something is on screen soon."""
SECONDS = 2.0
"""About the time between two lots of crystals."""
MOST = 256


class GeneratePanel(Panel):
    """Asks a model for crystals: `GeneratePanel(ldm)`.

    Traits:
        ldm: the model; another one brings another form.
        made: crystals of the current run that are finished; read-only.
    Attributes:
        on_start: `on_start(action)`: call `action()` when a run begins.
        on_result: `on_result(action)`: call `action(result)` with each lot of finished crystals, in
            the worker's thread.
        kept_as: the request of the session that the crystals of the last run are kept as, or None.
    """

    ldm = tl.Any()
    made = tl.Int(0, read_only=True)

    def __init__(self, ldm: LDMModule, session: Session | None = None) -> None:
        """`session` keeps the crystals; None: one that lasts as long as this panel."""
        super().__init__()
        self.ldm = ldm
        if session is None:
            self._folder = TemporaryDirectory()
            session = Session(self._folder.name)
        self.session = session
        self.kept_as: Request | None = None
        self.job = Job()
        self.on_start, self.on_result = Listeners(), Listeners()
        self.picker = ModelPicker(ldm)
        self.form = RequestForm(ldm)
        self._place = column(self.form.widget, css="cl-form-place")
        guard = self.notice.guard
        self.go = self.button("Generate", self.generate, icon="play", css="cl-generate",
                          tip="Make crystals")  # fmt: skip
        self.go.button_style = "primary"
        tip = "End the run; finished crystals are kept"
        self.halt = self.job.stop_button(icon="stop", css="cl-stop", tip=tip)
        self._bar = ipw.FloatProgress(min=0, max=1, layout=ipw.Layout(width="100%", height="8px"))
        show_if(False, self._bar.add_class("cl-progress"))
        self.status = Notice()
        self.widget = column(
            self._place,
            row(self.go, self.halt),
            self._bar,
            self.status.widget,
            self.notice.widget,
            self.picker.widget,
            css="cl-generate-panel",
        )
        tl.link((self, "ldm"), (self.picker, "ldm"))
        self.react("ldm", self._new_form)
        self.job.observe(guard(self._on_state), "state")
        self.job.observe(lambda change: setattr(self._bar, "value", change.new), "progress")
        self.job.tell(self.status, "Starting…")
        self._watch_form()
        self._allow()

    def show_request(
        self,
        recipe: Mapping[str, Any] | None = None,
        request: CrystalBatch | None = None,
        keywords: Mapping[str, Any] | None = None,
    ) -> None:
        """Show what was asked; after a recipe the next run gets another seed, to make more."""
        note = ""
        if recipe is not None:
            note = self.form.fill_recipe(recipe)
            self.form.seed.use()
        if request is not None:
            note = self.form.fill(request.to_request())
        if keywords is not None:
            self.form.fill_settings(SamplingSettings.make(keywords))
        self.notice.say(note, "warning")  # last: what is filled in takes back what was said

    def show_again(self, recipe: Mapping[str, Any]) -> None:
        """Show the request of a recipe."""
        self.notice.say(self.form.fill_recipe(recipe), "warning")

    def load_recipe(self, recipe: Mapping[str, Any]) -> None:
        """Show a dropped recipe; Generate then gives exactly its crystals."""
        self.show_again(recipe)
        self.form.seed.fresh = False
        if not makes_crystals_of(self.ldm, recipe):
            said = f"Another model made it ({recipe['model']}): this one gives other crystals."
            self.notice.say(said, "warning")

    def generate(self) -> None:
        """Start a run with what the form says.

        Raises:
            CrystalLDMError: for what the model cannot make; nothing is started then.
        """
        if self.job.busy:  # the second press of a double click
            return
        request, settings, count = self.form.request(), self.form.settings(), self.form.num_samples
        # What a preset brings and this model or request cannot have is left out, and said.
        asked = list(keyword_call(settings))
        settings, notes = settings.fitted(self.ldm, request, asked)
        self.notice.say(" ".join(notes), "warning")
        keywords = keyword_call(settings)
        rows = 1 if request is None else len(request)
        numbers = range(settings.offset, settings.offset + count)
        place = self.form.place
        places = [place] if place else [(row, number) for number in numbers for row in range(rows)]
        order = place_order(self.ldm, request, count, keywords)
        self.kept_as, run = self.session.open_run(self.form.words(), order)
        self.session.change(self.kept_as, count=len(places))
        self.form.seed.use()
        self.set_trait("made", 0)
        self.on_start.tell()
        self.job.start(lambda job: self._work(job, run, places))

    # -- the work --------------------------------------------------------------------------------

    def _work(self, job: Job, run: SampleRun, places: list[tuple[int, int]]) -> None:
        """Make the crystals in lots; one is written while the next is made.

        The first few are shown at once. All others are shown when they are on disk, so that a
        kernel that dies takes none of those with it that were seen.
        """
        total, started = len(places), time.monotonic()
        batch_size = run.order.settings.compute.batch_size
        most = MOST if isinstance(batch_size, str) else batch_size
        size, finished = min(FIRST, most), 0

        def watch(step: SamplerStep) -> None:
            if job.stop_event.is_set():
                raise StopSampling
            lot = min(size, total - finished) * (step.step + 1) / step.num_steps
            share = max(job.progress, (finished + lot) / total)
            job.report(share, _progress(finished, total, time.monotonic() - started, share))

        def show(result: SampleResult) -> None:
            self.set_trait("made", self.made + len(result))
            self.on_result.tell(result)

        def keep(result: SampleResult, shown: bool) -> None:
            try:
                run.files.add(result)
            finally:  # on a full disk they are seen all the same, and can be downloaded
                if not shown:
                    show(result)

        with run, ThreadPoolExecutor(max_workers=1) as writer:
            written: Future[Any] = writer.submit(int)  # nothing yet
            while places and not job.stop_event.is_set():
                lot, places = set(places[:size]), places[size:]
                begun = time.monotonic()
                # How the crystals are divided into lots changes none of them.
                for result in iter_sample(run.order, watch, _member(lot)):
                    written.result()
                    if first := not finished:
                        show(result)
                    written = writer.submit(keep, result, first)
                    finished += len(result)
                rate = size / max(time.monotonic() - begun, 1e-3)
                size = min(max(FIRST, int(rate * SECONDS)), 4 * size, most)
            written.result()
        job.progress = self.made / total
        made, spent = _count(self.made, total), duration(time.monotonic() - started)
        stopped = f"Stopped: {made} were finished and are kept."
        job.message = stopped if job.stop_event.is_set() else f"{made} in {spent}."

    # -- what is shown ---------------------------------------------------------------------------

    def _on_state(self, change: Any) -> None:
        self._allow()
        show_if(True, self._bar)
        self._bar.bar_style = {"failed": "danger", "stopped": "warning"}.get(change.new, "")
        if change.new == "stopping":
            self.status.say("Stopping after this step…")

    def _allow(self) -> None:
        why = self.form.problem or ("Crystals are being made." if self.job.busy else "")
        disable(self.go, why)

    def _watch_form(self) -> None:
        form = self.form
        form.react("problem", self._allow)
        # What was said of another request is true of this one no longer.
        for part, names in (
            (form.formula, ["text", "formula_units", "num_atoms"]),
            (form.conditions, ["values"]),
            (form.sampling, ["value"]),
        ):
            part.observe(lambda _: self.notice.clear(), names)

    def _new_form(self) -> None:
        form = RequestForm(self.ldm, self.form.seed)
        self.notice.say(form.follow(self.form), "warning")
        self.form = form  # filled in, as Generate may be pressed at any moment
        self._watch_form()
        self._place.children = (form.widget,)
        self._allow()


def _member(lot: set[tuple[int, int]]) -> Callable[[int, int], bool]:
    return lambda row, number: (row, number) in lot


def _count(made: int, total: int) -> str:
    return counted(total, "crystal") if made == total else f"{made} of {counted(total, 'crystal')}"


def _progress(made: int, total: int, seconds: float, share: float) -> str:
    """Say how far a run is, how fast, and how long it will still take."""
    text = _count(made, total)
    if share <= 0 or seconds < 0.5:
        return text
    rate, left = share * total / seconds, seconds * (1 - share) / share
    return f"{text}, {rate:.1f} crystals/s, {duration(left)} left"
