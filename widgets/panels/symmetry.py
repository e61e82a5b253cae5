"""The symmetry of the selected crystal: group, Wyckoff positions, operations."""

from __future__ import annotations

from functools import partial

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.layout import column, escape, facts_table, fold, show_if
from pymatgen.core import Structure

from crystal_ldm.crystals.symmetry.analysis import SYMPREC, Symmetry, symmetry_of

HEADS = (
    ("Element", ""),
    ("Wyckoff", "Multiplicity in the conventional cell, and letter"),
    ("Site symmetry", "Point group of the site"),
    ("x, y, z", "Fractional coordinates of one of them in the symmetrised cell"),
    ("Coordination", "Atoms bonded to each, by CrystalNN"),
)


class SymmetryPanel(Panel):
    """Shows the symmetry of one crystal: `SymmetryPanel(structure)`.

    Nothing is computed while `active` is off, so that selecting one crystal after the other stays
    quick where the panel is folded away.

    Traits:
        structure: the crystal, or None.
        symprec: tolerance of the symmetry search, Å.
        active: whether the panel is looked at.
        symmetry: what was found, a `crystals.symmetry.analysis.Symmetry`, or None; read-only.
    """

    structure = tl.Any(None, allow_none=True)
    symprec = tl.Float(SYMPREC, min=1e-5, max=1.0)
    active = tl.Bool(True)
    symmetry = tl.Any(None, allow_none=True, read_only=True)

    def __init__(self, structure: Structure | None = None, *, active: bool = True) -> None:
        super().__init__()
        self._latest = Latest(self.notice)
        self.facts = ipw.HTML().add_class("cl-symmetry")
        self.operations = ipw.HTML().add_class("cl-operations")
        self.unfold = fold("Symmetry operations", self.operations)
        self.widget = column(
            self.number("symprec", "Tolerance (Å)", tip="Within which spglib looks for symmetry"),
            self.facts,
            self.unfold,
            self.notice.widget,
            css="cl-symmetry-panel",
        )
        self.active = active
        self.react(["structure", "symprec", "active"], self._start)
        self.structure = structure

    def _start(self) -> None:
        """Look for the symmetry in the background."""
        if not self.active:
            return
        structure, symprec = self.structure, self.symprec
        if structure is None:
            self._latest.drop()
            self._show(None)
            self.notice.say("No crystal is selected.")
            return
        nothing = partial(self._show, None)
        self._latest.start(lambda: symmetry_of(structure, symprec), self._show, failed=nothing)

    def _show(self, symmetry: Symmetry | None) -> None:
        self.notice.clear()
        self.facts.value = "" if symmetry is None else facts_html(symmetry)
        self.operations.value = "" if symmetry is None else operations_html(symmetry)
        show_if(symmetry is not None, self.unfold)
        self.set_trait("symmetry", symmetry)


def facts_html(symmetry: Symmetry) -> str:
    """Return group, system and the table of Wyckoff positions."""
    operations = len(symmetry.operations)
    head = (
        f"<b>{escape(symmetry.symbol)} (no. {symmetry.number})</b>, {symmetry.system}, point group "
        f"{escape(symmetry.point_group)}, {operations} symmetry operation"
        f"{'' if operations == 1 else 's'} in the conventional cell"
    )
    titles = [f'<span title="{escape(tip)}">{name}</span>' for name, tip in HEADS]
    rows = [
        (site.element, f"{site.multiplicity}{site.letter}", site.site_symmetry,
         ", ".join(f"{x:.4f}" for x in site.coords), site.coordination)
        for site in symmetry.sites
    ]  # fmt: skip
    return f"<div>{head}</div>{facts_table(titles, rows)}"


def operations_html(symmetry: Symmetry) -> str:
    """Return the operations as text that can be copied."""
    lines = escape("\n".join(symmetry.operations))
    return f'<pre tabindex="0" aria-label="Symmetry operations">{lines}</pre>'
