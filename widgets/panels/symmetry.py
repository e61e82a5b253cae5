"""The symmetry of the selected crystal: group, Wyckoff positions, operations."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Notice, Panel, column, escape, fold, labelled

from crystal_ldm.crystals.symmetry import SYMPREC, Symmetry, symmetry_of

if TYPE_CHECKING:
    from pymatgen.core import Structure

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
        symmetry: what was found, a `crystal_ldm.crystals.symmetry.Symmetry`, or None; read-only.
    """

    structure = tl.Any(None, allow_none=True)
    symprec = tl.Float(SYMPREC, min=1e-5, max=1.0)
    active = tl.Bool(True)
    symmetry = tl.Any(None, allow_none=True, read_only=True)

    def __init__(self, structure: Structure | None = None, *, active: bool = True) -> None:
        super().__init__()
        self._round = 0
        self._done: tuple[Any, float] = (None, 0.0)
        self.notice = Notice()
        self.facts = ipw.HTML()
        self.facts.add_class("cl-symmetry")
        self.operations = ipw.HTML()
        self.operations.add_class("cl-operations")
        tolerance = ipw.BoundedFloatText(min=1e-5, max=1.0, step=0.01)
        tolerance.add_class("cl-count")
        tl.link((self, "symprec"), (tolerance, "value"))
        self.unfold = fold("Symmetry operations", self.operations)
        self.widget = column(
            labelled("Tolerance (Å)", tolerance, tip="Within which spglib looks for symmetry"),
            self.facts,
            self.unfold,
            self.notice.widget,
            css="cl-symmetry-panel",
        )
        self.active = active
        self.observe(self.notice.guard(lambda _: self._start()), ["structure", "symprec", "active"])
        self.structure = structure

    def _start(self) -> None:
        """Look for the symmetry in the background, if it is not known yet."""
        last, tolerance = self._done
        if not self.active or (last is self.structure and tolerance == self.symprec):
            return
        self._done = (self.structure, self.symprec)
        self._round += 1
        threading.Thread(
            target=self.notice.guard(self._find),
            args=(self._round, self.structure, self.symprec),
            daemon=True,
        ).start()

    def _find(self, this_round: int, structure: Structure | None, symprec: float) -> None:
        from crystal_ldm.errors import DataError

        symmetry, problem = None, "" if structure is not None else "No crystal is selected."
        try:
            symmetry = None if structure is None else symmetry_of(structure, symprec)
        except DataError as error:
            problem = str(error)
        if this_round != self._round:  # another crystal was selected meanwhile
            return
        self.notice.say(problem, "info" if structure is None else "warning")
        self.facts.value = "" if symmetry is None else facts_html(symmetry)
        self.operations.value = "" if symmetry is None else operations_html(symmetry)
        self.unfold.layout.display = "none" if symmetry is None else None
        self.set_trait("symmetry", symmetry)


def facts_html(symmetry: Symmetry) -> str:
    """Return group, system and the table of Wyckoff positions."""
    operations = len(symmetry.operations)
    head = (
        f"<b>{escape(symmetry.symbol)} (no. {symmetry.number})</b>, {symmetry.system}, point group "
        f"{escape(symmetry.point_group)}, {operations} symmetry operation"
        f"{'' if operations == 1 else 's'} in the conventional cell"
    )
    titles = "".join(f'<th scope="col" title="{escape(tip)}">{name}</th>' for name, tip in HEADS)
    rows = "".join(
        f"<tr><td>{escape(site.element)}</td><td>{site.multiplicity}{escape(site.letter)}</td>"
        f"<td>{escape(site.site_symmetry)}</td>"
        f"<td>{', '.join(f'{x:.4f}' for x in site.coords)}</td><td>{site.coordination}</td></tr>"
        for site in symmetry.sites
    )
    return f"<div>{head}</div><table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"


def operations_html(symmetry: Symmetry) -> str:
    """Return the operations as text that can be copied."""
    lines = escape("\n".join(symmetry.operations))
    return f'<pre tabindex="0" aria-label="Symmetry operations">{lines}</pre>'
