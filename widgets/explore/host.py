"""Atoms of a crystal stay, and the rest is made around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Quiet
from crystal_ldm.widgets.explore.maker import CrystalSource, MakerPanel
from crystal_ldm.widgets.layout import caption, column, heading, labelled, row, show_if
from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from pymatgen.core import Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling import Host


class HostPanel(MakerPanel):
    """Dopes a crystal, adds atoms to it, or completes a part of it: `HostPanel(ldm)`.

    Traits:
        ldm, num_samples: see `MakerPanel`.
        kept: numbers of the host's atoms that stay, from 0; a click on one in the picture keeps it
            or lets it go.
        replaced: elements of kept atoms that are exchanged, by number; "?": any element.
        rest: formula of the other atoms; empty: what the host has there.
        cell: "held", or "free": the model's.
    """

    kept = tl.List(tl.Int())
    replaced: tl.Dict[int, str] = tl.Dict(key_trait=tl.Int(), value_trait=tl.Unicode())
    rest = tl.Unicode("")
    cell = tl.Enum(["held", "free"], default_value="held")

    def __init__(
        self, ldm: LDMModule, source: Callable[[str], CrystalSource] = CrystalSource
    ) -> None:
        """`source` makes what takes a crystal, from what it is for."""
        super().__init__(ldm)
        self._quiet = Quiet()
        self.source = source("Host")
        self.boxes: list[ipw.Checkbox] = []
        self.elements: list[ipw.Text] = []
        self.viewer = CrystalViewer(height=260)
        self.viewer.choosing = True
        self._list = column(css="cl-atoms")
        self._list.layout.max_height = "240px"
        self._list.layout.overflow = "auto"
        rest = ipw.Text(placeholder="as in the host, or Li2, O?2", continuous_update=False)
        self.linked("rest", rest, "cl-rest")
        cell = ipw.ToggleButtons(
            options=["held", "free"], tooltips=["The cell is the host's", "The cell is the model's"]
        )
        self.linked("cell", cell, "cl-modes")
        guard = self.notice.guard
        self.go = self.button("Generate", self.generate, css="cl-around", icon="play")
        every = self.button("Keep all", self._keep_all, css="cl-small")
        none = self.button("Keep none", lambda: setattr(self, "kept", []), css="cl-small")
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
            self.number("num_samples", "Crystals", self.go),
            self.seed.widget,
        )
        show_if(False, self._atoms)
        self.widget = column(
            heading("Around a host structure"),
            self.source.widget,
            self._atoms,
            self.notice.widget,
            self.player.widget,
            css="cl-host-panel",
        )
        self.source.observe(guard(lambda _: self._on_host()), "structure")
        self.react(["kept", "replaced"], self._show)
        self.viewer.on_pick(self._on_picked)
        self.viewer.observe(guard(lambda _: self._show()), "cell")
        self.job.tell(self.notice, buttons=[self.go])
        self.attend(self.source)

    def reuse(self, recipe: Mapping[str, Any]) -> None:
        """Show a request around a host."""
        start: Any = self.fill(recipe, self.source)
        every = range(len(self.boxes))
        self.kept, self.replaced = list(every if start.keep is None else start.keep), start.replace
        self.rest, self.cell = start.rest or "", start.cell

    def generate(self) -> None:
        """Make crystals around the atoms that stay, in the background.

        Raises:
            CrystalLDMError: for what cannot be made; nothing is started then.
        """
        self.source.settle()
        host = CrystalBatch.from_structures([self.source.chosen], canonical=False)
        whole = len(self.kept) == len(self.boxes)
        start = Host(
            keep=None if whole else tuple(self.kept),
            replace=dict(self.replaced),
            rest=self.rest.strip() or None,
            cell=self.cell,
        )
        self.sample(host, start)

    # -- the atoms -------------------------------------------------------------------------------

    def _on_host(self) -> None:
        host: Structure = self.source.structure
        too_large = len(host) > self.ldm.max_atoms
        show_if(not too_large, self._atoms)
        if too_large:
            raise RequestError(
                f"The host's cell has {len(host)} atoms, and this model makes at most "
                f"{self.ldm.max_atoms}: choose a smaller cell."
            )
        self.notice.clear()
        self.boxes, self.elements, rows = [], [], []
        for i, site in enumerate(host):
            where = ", ".join(f"{x:.2f}" for x in site.frac_coords)
            text = f"{i}  {site.specie.symbol}  ({where})"
            box = ipw.Checkbox(True, description=text, indent=False).add_class("cl-check")
            element = ipw.Text(
                site.specie.symbol, continuous_update=False, layout={"width": "60px"},
                tooltip=f"Element of atom {i}",
            )  # fmt: skip
            for control in (box, element):
                control.observe(self.notice.guard(lambda _: self._collect()), "value")
            self.boxes.append(box)
            self.elements.append(element)
            rows.append(row(box, element))
        self._list.children = tuple(rows)
        with self.hold_trait_notifications():
            self._keep_all()
            self.replaced, self.rest = {}, ""
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
        with self._quiet:
            for i, (box, element) in enumerate(zip(self.boxes, self.elements, strict=True)):
                box.value = i in self.kept
                element.value = self.replaced.get(i, self._symbol(i))
                element.disabled = i not in self.kept
            if self._in_own_cell and set(self.viewer.picked) != set(self.kept):
                self.viewer.picked = list(self.kept)

    def _keep_all(self) -> None:
        self.kept = list(range(len(self.boxes)))

    def _symbol(self, atom: int) -> str:
        return str(self.source.structure[atom].specie.symbol)
