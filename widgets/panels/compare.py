"""Two crystals side by side, with their powder patterns and one that was measured."""

from __future__ import annotations

import traitlets as tl
from crystal_ldm.widgets.base import Notice, Panel
from crystal_ldm.widgets.explore.maker import CrystalSource
from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.layout import column, row, show_if
from crystal_ldm.widgets.panels.powder import PowderPanel
from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from pymatgen.core import Structure


class Compare(Panel):
    """Compares two crystals: `Compare(first, second)`.

    Traits:
        first, second: pymatgen Structures, or None.
        first_name, second_name: what they are called; their formulas by default.
    """

    first = tl.Any(None, allow_none=True)
    second = tl.Any(None, allow_none=True)
    first_name = tl.Unicode("")
    second_name = tl.Unicode("")

    def __init__(
        self,
        first: Structure | None = None,
        second: Structure | None = None,
        *,
        first_name: str = "",
        second_name: str = "",
        other: CrystalSource | None = None,
        height: int = 280,
    ) -> None:
        """`other` is a place that the second crystal is taken from."""
        super().__init__()
        self.viewers = (CrystalViewer(height=height), CrystalViewer(height=height, toolbar=False))
        self.powder = PowderPanel(height=230)
        self.plot = self.powder.plot
        self.verdict = Notice()
        self.widget = column(
            *([] if other is None else [other.widget]),
            row(*(viewer.widget for viewer in self.viewers), css="cl-two"),
            self.verdict.widget,
            self.powder.widget,
            self.notice.widget,
            css="cl-compare",
        )
        self._latest = Latest(self.notice)
        self.react(["first", "second", "first_name", "second_name"], self._show)
        with self.hold_trait_notifications():
            self.first_name, self.second_name = first_name, second_name
            self.first, self.second = first, second
        if other is not None:
            other.observe(lambda _: self._take(other), ["structure", "origin"])
        if first is None and second is None:
            self.verdict.say("Choose two crystals to compare.")

    def _take(self, other: CrystalSource) -> None:
        formula = other.structure.composition.reduced_formula
        with self.hold_trait_notifications():
            origin = "" if other.origin == formula else f" ({other.origin})"
            self.second_name = formula + origin
            self.second = other.structure

    def _show(self) -> None:
        crystals = (self.first, self.second)
        names = (self.first_name, self.second_name)
        for viewer, crystal, name in zip(self.viewers, crystals, names, strict=True):
            show_if(crystal is not None, viewer.widget)
            viewer.title = name or (crystal.composition.reduced_formula if crystal else "")
            if viewer.structure is not crystal:
                viewer.show(crystal)
        titles = [viewer.title for viewer in self.viewers]
        self.powder.crystals = [
            (title or usual, crystal)
            for title, usual, crystal in zip(titles, ("first", "second"), crystals, strict=True)
            if crystal is not None
        ]
        self._latest.start(lambda: same_structure(*crystals), self.verdict.say)


def same_structure(first: Structure | None, second: Structure | None) -> str:
    """Say whether pymatgen's StructureMatcher, at its defaults, takes both for one structure."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    if first is None or second is None:
        return ""
    if first.composition.reduced_formula != second.composition.reduced_formula:
        return "The compositions differ."
    found = StructureMatcher().get_rms_dist(first, second)
    if found is None:
        return "Same composition, another structure (StructureMatcher at its defaults)."
    return (
        f"The same structure within StructureMatcher's defaults: root mean square {found[0]:.3f}, "
        f"largest {found[1]:.3f}, in units of (volume per atom)^(1/3)."
    )
