"""The crystals of a workbench: where each comes from, the table of them, and what is found out."""

from __future__ import annotations

from collections.abc import Callable

from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.explore.nearest_in_training import NearestInTraining
from crystal_ldm.widgets.helpers import Helpers
from crystal_ldm.widgets.panels.evaluation import FIRST, BackgroundEvaluation, EvaluationBar
from crystal_ldm.widgets.panels.gallery import Gallery
from pymatgen.core import Structure

from crystal_ldm.evaluate.reference_set import Reference

UNUSUAL = ("volume_per_atom", "element_agreement")
"""Columns that are shown when they are chosen: nearly the density, and nearly always 1."""


class CrystalsPanel(Gallery):
    """A gallery of entries that evaluates itself: `CrystalsPanel(nearest, reference, busy, …)`.

    Args:
        nearest: finds training crystals; None: none are shown beside the selected one.
        reference: returns the training crystals for novelty; without any, novelty is left out.
        busy: whether crystals are being made, which goes before the evaluation by itself.
        on_relaxed: called with relaxed crystals, see `EvaluationBar`.
    """

    def __init__(
        self,
        nearest: NearestInTraining | None,
        reference: Callable[[], Reference | None],
        busy: Callable[[], bool],
        on_relaxed: Callable[[list[CrystalEntry]], None],
    ) -> None:
        helpers = Helpers()
        super().__init__(
            nearest=nearest,
            show_nearest=nearest is not None and nearest.cached,
            helpers=helpers,
            height=320,
            empty="There are no crystals yet. Say what they should be, and press Generate.",
        )
        self.evaluation = EvaluationBar(
            lambda: self.structures,
            self._to_relax,
            self.update_crystals,
            on_relaxed,
            reference,
            helpers,
        )
        self.background = BackgroundEvaluation(
            self._pending, self.update_crystals, helpers, reference, busy
        )
        clear = self.button("Remove all", self.clear, css="cl-small")
        self.tools.children = (*self.tools.children, self.evaluation.widget, clear)
        self.table.hidden = list(UNUSUAL)
        self.react("count", self.background.wake)

    def _to_relax(self) -> list[CrystalEntry]:
        with self.lock:
            checked = [self.entries[i] for i in self.table.checked]
        return checked or ([self.current] if self.current is not None else [])

    def _pending(self) -> list[Structure]:
        with self.lock:
            first = zip(self.structures[:FIRST], self.rows[:FIRST], strict=True)
            return [structure for structure, row in first if "band_gap" not in row]
