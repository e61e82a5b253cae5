"""Atoms of a crystal stay, and the rest is made around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import (
    Notice,
    Panel,
    button,
    caption,
    column,
    disable,
    heading,
    labelled,
    row,
)
from crystal_ldm.widgets.controls.seed import SeedControl
from crystal_ldm.widgets.crystal_entry import CrystalEntry, from_result
from crystal_ldm.widgets.explore.source import CrystalSource, Find, Givers
from crystal_ldm.widgets.jobs import Job
from crystal_ldm.widgets.viewers.trajectory import TrajectoryPlayer
from crystal_ldm.widgets.viewers.viewer import CrystalViewer

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystal_ldm.ldm_module import LDMModule

OnMade = Callable[[list[CrystalEntry]], Any]


class HostPanel(Panel):
    """Dopes a crystal, adds atoms to it, or completes a part of it: `HostPanel(ldm)`.

    Traits:
        ldm: the model.
        kept: numbers of the host's atoms that stay, from 0; a click on one in the picture keeps it
            or lets it go.
        replaced: elements of kept atoms that are exchanged, by number; "?": any element.
        rest: formula of the other atoms; empty: what the host has there.
        cell: "held", or "free": the model's.
        num_samples: crystals to make.
    """

    ldm = tl.Any()
    kept = tl.List(tl.Int())
    replaced: tl.Dict[int, str] = tl.Dict(key_trait=tl.Int(), value_trait=tl.Unicode())
    rest = tl.Unicode("")
    cell = tl.Enum(["held", "free"], default_value="held")
    num_samples = tl.Int(8, min=1, max=200)

    def __init__(
        self, ldm: LDMModule, givers: Givers | None = None, find: Find | None = None
    ) -> None:
        super().__init__()
        self.ldm = ldm
        self._quiet = False
        self.job = Job()
        self.notice = Notice()
        self._actions: list[OnMade] = []
        self.source = CrystalSource("Host", givers, find)
        self.seed = SeedControl()
        self.player = TrajectoryPlayer(
            height=300, empty="The crystals made here are shown here.", noun="crystal"
        )
        self.boxes: list[ipw.Checkbox] = []
        self.elements: list[ipw.Text] = []
        self.viewer = CrystalViewer(height=260)
        self.viewer.choosing = True
        self._list = column(css="cl-atoms")
        self._list.layout.max_height = "240px"
        self._list.layout.overflow = "auto"
        rest = ipw.Text(placeholder="as in the host, or Li2, O?2", continuous_update=False)
        rest.add_class("cl-rest")
        cell = ipw.ToggleButtons(
            options=["held", "free"], tooltips=["The cell is the host's", "The cell is the model's"]
        )
        cell.add_class("cl-modes")
        count = ipw.BoundedIntText(min=1, max=200)
        count.add_class("cl-count")
        for name, control in (("rest", rest), ("cell", cell), ("num_samples", count)):
            tl.link((self, name), (control, "value"))
        guard = self.notice.guard
        self.go = button("Generate", guard(self.generate), css="cl-around", icon="play")
        every = button("Keep all", guard(lambda: self._keep(True)), css="cl-small")
        none = button("Keep none", guard(lambda: self._keep(False)), css="cl-small")
        self._atoms = column(
            caption(
                "Checked atoms stay: check them here, or click them in the picture, where they "
                "stand out. Another element, or ? for any, replaces theirs. The other atoms are "
                "made anew: let one go, add some below, or free the cell."
            ),
            row(every, none),
            row(self._list, self.viewer.widget, css="cl-two"),
            labelled("Other atoms", rest, tip="Formula of all atoms that are not checked"),
            labelled("Cell", cell, tip="Whether the cell may change in the last step"),
            row(labelled("Crystals", count), self.go),
            self.seed.widget,
        )
        self._atoms.layout.display = "none"
        self.widget = column(
            heading("Around a host structure"),
            self.source.widget,
            self._atoms,
            self.notice.widget,
            self.player.widget,
            css="cl-host-panel",
        )
        self.source.observe(guard(lambda _: self._on_host()), "structure")
        self.observe(guard(lambda _: self._show()), ["kept", "replaced"])
        self.viewer.on_pick(self._on_picked)
        self.viewer.observe(guard(lambda _: self._show()), "cell")
        self.job.observe(guard(self._on_state), "state")

    def on_made(self, action: OnMade) -> None:
        """Call `action(crystals)` with what was made, in the worker's thread."""
        self._actions.append(action)

    def generate(self) -> None:
        """Make crystals around the atoms that stay, in the background.

        Raises:
            CrystalLDMError: for what cannot be made; nothing is started then.
        """
        from crystal_ldm.crystals import CrystalBatch
        from crystal_ldm.errors import RequestError
        from crystal_ldm.sampling import Host

        if self.source.structure is None:
            raise RequestError("Choose a crystal for the host, or drop a file.")
        host = CrystalBatch.from_structures([self.source.structure], canonical=False)
        whole = len(self.kept) == len(self.boxes)
        start = Host(
            keep=None if whole else tuple(self.kept),
            replace=dict(self.replaced),
            rest=self.rest.strip() or None,
            cell=self.cell,
        )
        ldm, count, seed = self.ldm, self.num_samples, self.seed.seed
        ldm.iter_sample(host, count, start=start, seed=seed)  # checks it and computes nothing yet
        self.seed.use()

        def work(_: Job) -> None:
            entries = from_result(ldm.sample(host, count, start=start, seed=seed))
            self.player.set_trajectory([one.structure for one in entries])
            for action in self._actions:
                action(entries)

        self.job.start(work)

    # -- the atoms -------------------------------------------------------------------------------

    def _on_host(self) -> None:
        host: Structure = self.source.structure
        self.boxes, self.elements, rows = [], [], []
        for i, site in enumerate(host):
            where = ", ".join(f"{x:.3f}" for x in site.frac_coords)
            box = ipw.Checkbox(True, description=f"{i}  {site.specie.symbol}  ({where})")
            box.indent = False
            box.add_class("cl-check")
            element = ipw.Text(
                site.specie.symbol,
                continuous_update=False,
                layout=ipw.Layout(width="60px"),
                tooltip=f"Element of atom {i}",
            )
            for control in (box, element):
                control.observe(self.notice.guard(lambda _: self._collect()), "value")
            self.boxes.append(box)
            self.elements.append(element)
            rows.append(row(box, element))
        self._list.children = tuple(rows)
        with self.hold_trait_notifications():
            self.kept, self.replaced, self.rest = list(range(len(host))), {}, ""
        self._atoms.layout.display = None
        self.viewer.title = host.composition.reduced_formula
        self.viewer.show(host)
        self._show()

    def _on_picked(self, picked: list[int]) -> None:
        """Keep the atoms that were picked in the picture."""
        if self._quiet:
            return
        if self._in_own_cell:
            self.kept = sorted(set(picked))
        elif picked:
            self.notice.say("Atoms are chosen in the cell as made: see More.", "warning")

    @property
    def _in_own_cell(self) -> bool:
        """Whether the picture shows the host's own cell, whose numbers the atoms have."""
        return self.viewer.shown is self.source.structure

    def _collect(self) -> None:
        if self._quiet:
            return
        kept = [i for i, box in enumerate(self.boxes) if box.value]
        replaced = {i: e for i in kept if (e := self.elements[i].value.strip()) != self._symbol(i)}
        with self.hold_trait_notifications():
            self.kept, self.replaced = kept, replaced

    def _show(self) -> None:
        self._quiet = True
        try:
            for i, (box, element) in enumerate(zip(self.boxes, self.elements, strict=True)):
                box.value = i in self.kept
                element.value = self.replaced.get(i, self._symbol(i))
                element.disabled = i not in self.kept
            if self._in_own_cell and set(self.viewer.picked) != set(self.kept):
                self.viewer.picked = list(self.kept)
        finally:
            self._quiet = False

    def _keep(self, stay: bool) -> None:
        self.kept = list(range(len(self.boxes))) if stay else []

    def _symbol(self, atom: int) -> str:
        return str(self.source.structure[atom].specie.symbol)

    def _on_state(self, change: Any) -> None:
        disable(self.go, "Crystals are being made." if self.job.busy else "")
        if change.new == "running":
            self.notice.say("Working…")
        elif change.new == "failed":
            self.notice.say(self.job.error, "error")
        else:
            count = self.player.num_frames
            self.notice.say(f"{count} crystals are below and in the table of crystals.", "good")
