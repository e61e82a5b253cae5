"""The workbench: ask for crystals, look at them, explore around them, take them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.browser.page import InView
from crystal_ldm.widgets.crystal_entry import CrystalEntry, from_result, from_run
from crystal_ldm.widgets.explore.find import FindPanel
from crystal_ldm.widgets.explore.grid import GridPanel
from crystal_ldm.widgets.explore.host import HostPanel
from crystal_ldm.widgets.explore.maker import CrystalSource
from crystal_ldm.widgets.explore.nearest_in_training import NearestInTraining
from crystal_ldm.widgets.explore.vary import VaryPanel
from crystal_ldm.widgets.helpers import Helpers
from crystal_ldm.widgets.layout import column, fold, framed
from crystal_ldm.widgets.panels.compare import Compare
from crystal_ldm.widgets.panels.denoising import DenoisingPanel
from crystal_ldm.widgets.panels.evaluation import EvaluationBar
from crystal_ldm.widgets.panels.files import FilesPanel
from crystal_ldm.widgets.panels.gallery import Gallery
from crystal_ldm.widgets.panels.generate import GeneratePanel
from crystal_ldm.widgets.panels.history import HistoryPanel
from crystal_ldm.widgets.panels.rows import UNUSUAL
from crystal_ldm.widgets.session import Request, Session
from IPython.display import display

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling import SampleResult

PARTS = {
    "Crystals": "gallery",
    "Trajectory": "denoising",
    "Compare": "compare",
    "Vary": "vary",
    "Host": "host",
    "Grid": "grid",
    "Export": "files",
    "Find": "find",
}
"""The attribute of a workbench that each tab shows; it is made when the tab is first opened."""
TABS = tuple(PARTS)


class Workbench(Panel):
    """All panels in one: `Workbench(ldm)`, or with the crystals of a run that is finished.

    Args:
        ldm: the model.
        result: crystals that are there already.
        request: what the form shows at first; None: the request of `result`.
        run_dir: a run of 04_sample, whose crystals are shown where `result` has fewer; what is
            made here is kept in it, and shown when it is opened again.
        keywords: keywords of `LDMModule.sample` that the form shows; None: those of `result`.

    Attributes:
        gallery: the crystals and their table, see `Gallery`.
        history: what was asked for so far, see `HistoryPanel`.
    """

    def __init__(
        self,
        ldm: LDMModule,
        result: SampleResult | None = None,
        request: CrystalBatch | None = None,
        run_dir: str | Path | None = None,
        keywords: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._fresh = False
        self.training = NearestInTraining(ldm)
        self._first = there = from_result(result) if result is not None else []
        if run_dir is not None and len(there) < len(on_disk := from_run(run_dir)):
            self._first = there = on_disk
        self._relaxing: Request | None = None
        self.generate = GeneratePanel(ldm, None if run_dir is None else Session(run_dir))
        self.session = self.generate.session
        self.history = HistoryPanel(self.session)
        self.generate.show_request(there[0].recipe if there else None, request, keywords)
        helpers = Helpers()
        self.gallery = Gallery(
            nearest=self.training,
            show_nearest=self.training.cached,
            helpers=helpers,
            height=320,
            empty="There are no crystals yet. Say what they should be, and press Generate.",
        )
        self.gallery.table.hidden = list(UNUSUAL)
        self.evaluation = EvaluationBar(
            self.gallery,
            helpers,
            lambda: self.training.reference,
            self._keep_relaxed,
            lambda: self.generate.job.busy,
        )
        clear = self.button("Remove all", self.gallery.clear, css="cl-small")
        self.gallery.tools.children += (self.evaluation.widget, clear)
        self.tabs = ipw.Tab([column() for _ in TABS], titles=TABS).add_class("cl-tab-bar")
        history = fold("History", self.history.widget)
        side = column(self.generate.widget, history, self.notice.widget, css="cl-side cl-card")
        self.widget = ipw.Box([side, column(self.tabs, css="cl-main")]).add_class("cl-workbench")
        guard = self.notice.guard
        self.generate.on_start(self._on_start)
        self.generate.on_result(self._on_result)
        self.generate.react("ldm", self._on_model)
        self.tabs.observe(guard(lambda _: self._on_tab()), "selected_index")
        self.gallery.react("selected", self._on_selected)
        self.gallery.react("count", self.evaluation.wake)
        self.generate.job.observe(lambda _: self.history.refresh(), "state")
        self.evaluation.job.observe(lambda change: self._forget_relaxing(change.new), "state")
        self.history.on_change(guard(self._show_again))
        self.history.at_work = self._at_work
        self.history.on_reuse(self._reuse)
        self._on_tab()
        self._show_again()

    def _ipython_display_(self) -> None:
        display(framed(InView(), self.widget))

    # -- the crystals ----------------------------------------------------------------------------

    def _on_result(self, made: SampleResult) -> None:
        """Append what Generate has made; the first ones of a new run are selected at once."""
        entries, request = from_result(made), self.generate.kept_as
        for entry in entries:
            entry.request = "" if request is None else request.folder.name
        place = self.gallery.add(entries)
        if self._fresh and entries:
            self.gallery.selected, self._fresh = place, False

    def _keep(self, words: str, entries: Sequence[CrystalEntry], shown: bool = True) -> None:
        """Show finished crystals that no run writes by itself, and keep them on disk."""
        try:
            self.history.keep(words, entries, hidden=not shown)
        finally:  # on a full disk they are shown all the same, and the error is said
            if shown:
                self.gallery.add(entries)

    def _keep_relaxed(self, made: Sequence[CrystalEntry]) -> None:
        """Show the newest of a press's relaxed crystals, and keep all of them as one request."""
        try:
            earlier = self._relaxing if len(made) > 1 else None
            self._relaxing = self.history.keep("Relaxed", made, request=earlier)
        finally:
            self.gallery.add(made[-1:])

    def _forget_relaxing(self, state: str) -> None:
        if state == "running":  # another press, whose crystals are a request of their own
            self._relaxing = None

    def _show_again(self) -> None:
        """Show the run and all requests of the session that are not hidden.

        What is in the table already is not read again: some of it may not be on disk, as where the
        disk is full or the run is gone.
        """
        with self.gallery.lock:  # no crystal joins between the look at the table and the new one
            requests = self.session.requests()
            gone = {one.folder.name for one in requests if one.hidden} | self.history.deleted
            first = set(map(id, self._first))
            kept = [e for e in self.gallery.entries if id(e) not in first and e.request not in gone]
            entries, there = [*self._first, *kept], {entry.request for entry in kept}
            for request in requests:
                if request.folder.name not in there | gone:
                    entries += self.notice.guard(self.session.entries)(request) or []
            self.gallery.set(entries)

    def _reuse(self, recipe: dict[str, Any]) -> None:
        """Show a request in the form that it came from."""
        start = recipe["sampling"].get("start", {}).get("name")
        if name := {"crystal": "Vary", "host": "Host"}.get(start):
            self.tabs.selected_index = TABS.index(name)
            getattr(self, PARTS[name]).reuse(recipe)
        else:
            self.generate.show_again(recipe)

    def _at_work(self, request: Request) -> bool:
        """Return whether crystals are still being added to a request."""
        made = self.generate.kept_as if self.generate.job.busy else None
        relaxed = self._relaxing if self.evaluation.job.busy else None
        return any(one is not None and one.folder == request.folder for one in (made, relaxed))

    # -- parts that are made when their tab is first opened ----------------------------------------

    def _on_tab(self) -> None:
        place = self.tabs.selected_index or 0
        if not (tab := self.tabs.children[place]).children:
            tab.children = (getattr(self, PARTS[TABS[place]]).widget,)
        self._on_selected()

    @cached_property
    def denoising(self) -> DenoisingPanel:
        """Plays the denoising of the selected crystal."""
        return DenoisingPanel()

    @cached_property
    def compare(self) -> Compare:
        """Compares the selected crystal with another."""
        self.other = self._source("Compared with")
        return Compare(height=260, other=self.other)

    @cached_property
    def vary(self) -> VaryPanel:
        """Makes neighbours of a crystal."""
        vary = VaryPanel(self.generate.ldm, self._source)
        tl.dlink((self.generate, "ldm"), (vary, "ldm"))
        vary.on_made(lambda entries: self._keep(entries[0].origin.capitalize(), entries))
        return vary

    @cached_property
    def host(self) -> HostPanel:
        """Makes crystals around atoms that stay."""
        host = HostPanel(self.generate.ldm, self._source)
        tl.dlink((self.generate, "ldm"), (host, "ldm"))
        host.on_made(lambda entries: self._keep("Around a host", entries))
        return host

    @cached_property
    def grid(self) -> GridPanel:
        """Carries out the request of the form once for each cell of a matrix."""
        grid = GridPanel(self.generate.ldm, lambda: self.generate.form)
        grid.on_made(lambda entries: self._keep("Grid of", entries, shown=False))
        return grid

    @cached_property
    def files(self) -> FilesPanel:
        """Code, downloads and recipes."""
        files = FilesPanel(lambda: (list(self.gallery.entries), list(self.gallery.rows)))
        files.on_load(self.generate.load_recipe)
        return files

    @cached_property
    def find(self) -> FindPanel:
        """Lists what is known of a formula or of some elements."""
        return FindPanel(lambda: self.training.known.crystals, self.training.where)

    def _source(self, label: str) -> CrystalSource:
        """Return what takes a crystal out of the parts of this workbench, or from a file."""
        gallery, training = self.gallery, self.training
        givers = {
            "Selected crystal": lambda: gallery.structure,
            "Its nearest training crystal": lambda: training.nearest(gallery.structure),
            "Crystal of Find": lambda: self.find.structure if self._made("find") else None,
        }
        return CrystalSource(label, givers, training.find)

    def _made(self, part: str) -> bool:
        # A background thread may ask while the part of a new tab is still being made.
        return part in vars(self)

    # -- keeping the parts in step -----------------------------------------------------------------

    def _on_start(self) -> None:
        self._fresh = True
        self.tabs.selected_index = 0

    def _on_selected(self) -> None:
        name = TABS[self.tabs.selected_index or 0]
        made = self.gallery.current
        if not self._made(PARTS[name]):
            return
        if name == "Trajectory":
            self.denoising.show(self.generate.ldm, made)
        elif name == "Compare":
            with self.compare.hold_trait_notifications():
                self.compare.first_name = self.gallery.viewer.title
                self.compare.first = None if made is None else made.structure
        elif name == "Export":
            self.files.follow(made, self.gallery.viewer.title)

    def _on_model(self) -> None:
        self.training.ldm = self.generate.ldm
        self.gallery.seek()
        if self._made("grid"):  # its panel goes; the cells that are filled are kept
            self.grid.job.stop()
        for name in ("Grid", "Find"):
            if vars(self).pop(PARTS[name], None) is not None:
                self.tabs.children[TABS.index(name)].children = ()
        self._on_tab()
