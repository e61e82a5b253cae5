"""The crystals of a workbench: where each comes from, the table of them, and what is found out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import traitlets as tl
from crystal_ldm.widgets.base import Notice, Panel, button
from crystal_ldm.widgets.crystal_entry import CrystalEntry, parents_of
from crystal_ldm.widgets.explore.nearest_in_training import NearestInTraining
from crystal_ldm.widgets.helpers import Helpers
from crystal_ldm.widgets.panels.background import FIRST, BackgroundEvaluation
from crystal_ldm.widgets.panels.evaluation import EvaluationBar
from crystal_ldm.widgets.panels.gallery import Gallery
from pymatgen.core import Structure

from crystal_ldm.evaluate.reference_set import Reference

UNUSUAL = ("volume_per_atom", "element_agreement")
"""Columns that are shown when they are chosen: nearly the density, and nearly always 1."""


class CrystalsPanel(Panel):
    """A gallery of entries that evaluates itself: `CrystalsPanel(nearest, reference, busy, …)`.

    Args:
        nearest: finds training crystals; None: none are shown beside the selected one.
        reference: returns the training crystals for novelty; without any, novelty is left out.
        busy: whether crystals are being made, which goes before the evaluation by itself.
        on_relaxed: called with relaxed crystals, see `EvaluationBar`.
        notice: says what went wrong.

    Traits:
        count: number of crystals; read-only.
    """

    count = tl.Int(0, read_only=True)

    def __init__(
        self,
        nearest: NearestInTraining | None,
        reference: Callable[[], Reference | None],
        busy: Callable[[], bool],
        on_relaxed: Callable[[list[CrystalEntry]], None],
        notice: Notice,
    ) -> None:
        super().__init__()
        self.entries: list[CrystalEntry] = []
        self._lock = threading.RLock()
        self.helpers = Helpers()
        self.gallery = Gallery(
            nearest=nearest,
            show_nearest=nearest is not None and nearest.cached,
            entries=lambda: self.entries,
            helpers=self.helpers,
            height=320,
            empty="There are no crystals yet. Say what they should be, and press Generate.",
        )
        gallery = self.gallery
        self.evaluation = EvaluationBar(
            lambda: gallery.structures,
            self._to_relax,
            gallery.update_crystals,
            on_relaxed,
            reference,
            self.helpers,
        )
        self.background = BackgroundEvaluation(
            self._pending, gallery.update_crystals, self.helpers, reference, busy
        )
        clear = button("Remove all", notice.guard(self.clear), css="cl-small")
        gallery.tools.children = (*gallery.tools.children, self.evaluation.widget, clear)
        gallery.table.hidden = list(UNUSUAL)
        self.widget = gallery.widget

    def add(self, entries: Sequence[CrystalEntry]) -> int:
        """Append crystals, and return the place of the first one."""
        with self._lock:
            place = len(self.entries)
            self.entries += entries
            self.gallery.add([one.structure for one in entries], [one.columns for one in entries])
            self.gallery.table.parents = parents_of(self.entries)
            self.set_trait("count", len(self.entries))
        self.background.wake()
        return place

    def set(self, entries: Sequence[CrystalEntry]) -> None:
        """Show these crystals; of those that stay, the selection and all columns stay, too."""
        with self._lock:
            gallery, current = self.gallery, self.current
            known = list(zip(gallery.structures, gallery.rows, strict=True))
            self.clear()
            self.add(entries)
            gallery.update_crystals(known)
            kept = [i for i, entry in enumerate(self.entries) if entry is current]
            if kept:
                gallery.selected = kept[0]

    def clear(self) -> None:
        """Remove all crystals from the table; those on disk stay."""
        with self._lock:
            self.entries = []
            self.gallery.clear()
            self.set_trait("count", 0)

    @property
    def current(self) -> CrystalEntry | None:
        """The selected crystal."""
        with self._lock:
            index = self.gallery.selected
            there = index is not None and index < len(self.entries)
            return self.entries[index] if there and index is not None else None

    def _to_relax(self) -> list[CrystalEntry]:
        with self._lock:
            checked = [self.entries[i] for i in self.gallery.table.checked]
        return checked or ([self.current] if self.current is not None else [])

    def _pending(self) -> list[Structure]:
        with self._lock:
            gallery = self.gallery
            first = zip(gallery.structures[:FIRST], gallery.rows[:FIRST], strict=True)
            return [structure for structure, row in first if "band_gap" not in row]
