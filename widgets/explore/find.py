"""What is known: the polymorphs of a formula, and all crystals of a chemical system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.jobs import Job
from crystal_ldm.widgets.layout import caption, column, heading, row
from crystal_ldm.widgets.panels.gallery import Gallery
from pymatgen.core import Structure

from crystal_ldm.crystals.inputs import CrystalSet
from crystal_ldm.crystals.search import find_crystals, summary

MOST = 300
"""Crystals that are shown of one search."""


class FindPanel(Panel):
    """Lists the known crystals of a formula or a chemical system: `FindPanel(lambda: known)`.

    Args:
        known: returns the crystals to look in; called in the background at the first search, as
            opening a data set takes seconds.
        where: what these crystals are, such as "training set of oqmd_icsd".

    Traits:
        text: a formula, a chemical system such as Sr-Ti-O, or an id.
    """

    text = tl.Unicode("")

    def __init__(self, known: Callable[[], CrystalSet], where: str) -> None:
        super().__init__()
        self._known = known
        self._sought = ""
        self.job = Job()
        self.gallery: Gallery | None = None
        box = ipw.Text(placeholder="SrTiO3, or Sr-Ti-O", continuous_update=False)
        self.linked("text", box, "cl-known")
        self.go = self.button("Find", self.find, css="cl-find", icon="search")
        self._place = column()
        self.widget = column(
            heading("What is known"),
            caption(
                f"All polymorphs of a formula, or all crystals of some elements and no others, in "
                f"the {where}."
            ),
            row(box, self.go),
            self.notice.widget,
            self._place,
            css="cl-find-panel",
        )
        self.react("text", self.find)
        self.job.tell(self.notice, f"Looking in the {where}…", [self.go], "The search is going on.")
        self.job.observe(self.notice.guard(self._on_state), "state")

    @property
    def structure(self) -> Structure | None:
        """The crystal that is selected among those found."""
        return None if self.gallery is None else self.gallery.structure

    def find(self) -> None:
        """Look for `text` in the background."""
        if self.job.busy or not self.text.strip():
            return
        text = self._sought = self.text

        def work(_: Job) -> None:
            known = self._known()
            found = find_crystals(known, text)
            shown = [(known.ids[i], c) for i in found[:MOST] if (c := known.crystals[i])]
            said = summary(known, found)
            if len(found) > MOST:
                said += f" The first {MOST} are shown: name fewer elements to see all."
            if self.gallery is None:
                self.gallery = Gallery(height=300, empty="Nothing was found yet.")
                self._place.children = (self.gallery.widget,)
            structures = [crystal.to_structure() for _, crystal in shown]
            self.gallery.set(structures, [{"known_as": name} for name, _ in shown])
            self.job.message = said

        self.job.start(work)

    def _on_state(self, change: Any) -> None:
        if change.new in ("failed", "done") and self.text != self._sought:
            self.find()  # it was corrected while the data set was opened
