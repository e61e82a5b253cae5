"""What is known: the polymorphs of a formula, and all crystals of a chemical system."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.jobs import Latest
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
        self._known, self._where = known, where
        self._latest = Latest(self.notice)
        self.gallery: Gallery | None = None
        box = ipw.Text(placeholder="SrTiO3, or Sr-Ti-O", continuous_update=False)
        self.linked("text", box, "cl-known")
        self._place = column()
        self.widget = column(
            heading("What is known"),
            caption(
                f"All polymorphs of a formula, or all crystals of some elements and no others, in "
                f"the {where}."
            ),
            row(box, self.button("Find", self.find, css="cl-find", icon="search")),
            self.notice.widget,
            self._place,
            css="cl-find-panel",
        )
        self.react("text", self.find)

    @property
    def structure(self) -> Structure | None:
        """The crystal that is selected among those found."""
        return None if self.gallery is None else self.gallery.structure

    def find(self) -> None:
        """Look for `text` in the background."""
        if text := self.text.strip():
            self.notice.say(f"Looking in the {self._where}…")
            self._latest.start(lambda: self._found(text), lambda found: self._show(*found))

    def _found(self, text: str) -> tuple[list[tuple[str, Structure]], str]:
        """Return the first crystals that are meant with their ids, and how many there are."""
        known = self._known()
        found = find_crystals(known, text)
        said = summary(known, found)
        if len(found) > MOST:
            said += f" The first {MOST} are shown: name fewer elements to see all."
        shown = [(known.ids[i], c) for i in found[:MOST] if (c := known.crystals[i])]
        return [(name, crystal.to_structure()) for name, crystal in shown], said

    def _show(self, crystals: list[tuple[str, Structure]], said: str) -> None:
        if self.gallery is None:
            self.gallery = Gallery(height=300, empty="Nothing was found yet.")
            self._place.children = (self.gallery.widget,)
        names = [{"known_as": name} for name, _ in crystals]
        self.gallery.set([crystal for _, crystal in crystals], names)
        self.notice.say(said, "good")
