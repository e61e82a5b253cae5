"""What a viewer shows of a crystal: which cell of it, how often repeated, in which look."""

from __future__ import annotations

import traitlets as tl
from crystal_ldm.widgets.base import Panel, escape
from crystal_ldm.widgets.viewers.elements import COLOURS, LOOK, STYLES, Look, ink_on
from crystal_ldm.widgets.viewers.scene import Scene, build_scene
from pymatgen.core import Structure

from crystal_ldm.crystals.bonds import Bond, radius_bonds, site_symbols
from crystal_ldm.crystals.polyhedra import coordination_polyhedra
from crystal_ldm.crystals.symmetry import CELLS, cell_of_kind
from crystal_ldm.errors import DataError


class ShownCrystal(Panel):
    """A crystal and how it is shown.

    Traits:
        structure: the pymatgen Structure, or None.
        supercell: how often the cell is repeated along a, b, c.
        images: atoms on a face of the cell are drawn at the opposite face too.
        bonds: bonds are drawn.
        labels: element symbols are written onto the atoms.
        polyhedra: the anions around each cation are drawn as a polyhedron.
        cell: "as made", "primitive", "conventional" or "symmetrised"; `shown` is in it.
        style: "Ball and stick" or "Space filling".
        colours: "Soft", "VESTA" or "Jmol".

    Attributes:
        shown: the crystal in that cell.
        drawn_bonds: its bonds.
    """

    structure = tl.Any(None, allow_none=True)
    supercell = tl.Tuple(tl.Int(min=1), tl.Int(min=1), tl.Int(min=1), default_value=(1, 1, 1))
    images = tl.Bool(True)
    bonds = tl.Bool(True)
    labels = tl.Bool(False)
    polyhedra = tl.Bool(False)
    cell = tl.Enum(CELLS, default_value=CELLS[0])
    style = tl.Enum(STYLES, default_value=STYLES[0])
    colours = tl.Enum(COLOURS, default_value=COLOURS[0])

    def __init__(self) -> None:
        super().__init__()
        self.shown: Structure | None = None
        self.drawn_bonds: list[Bond] = []
        self._scene: Scene | None = None

    @property
    def scene(self) -> Scene | None:
        """What is drawn now, or None."""
        if self._scene is None and self.shown is not None:
            self._scene = self.lay_out(self.shown, self.drawn_bonds)
        return self._scene

    def lay_out(self, structure: Structure, bonds: list[Bond]) -> Scene:
        """Return a crystal with its bonds as it is drawn."""
        return build_scene(
            structure,
            bonds if self.bonds else [],
            self.supercell,
            self.images,
            polyhedra=coordination_polyhedra(structure, bonds) if self.polyhedra else (),
        )

    @property
    def look(self) -> Look:
        """How atoms are drawn."""
        return Look(self.colours, self.style)

    def choose_cell(self) -> str:
        """Take the cell that is asked for; return why there is none, in which case it is as made.

        Bonds are those by distance, which are found at once.
        """
        problem, self.shown, self._scene = "", self.structure, None
        if self.structure is not None:
            try:
                self.shown = cell_of_kind(self.structure, self.cell)
            except DataError as error:
                problem = str(error)
        self.drawn_bonds = [] if self.shown is None else radius_bonds(self.shown)
        return problem


def legend_html(structure: Structure | None, look: Look = LOOK) -> str:
    """Return the legend of a crystal; None: that there is none."""
    if structure is None:
        return '<span class="cl-caption">No crystal is shown.</span>'
    chips = "".join(
        f'<span class="cl-chip" style="background:{look.colour(e)};'
        f'color:{ink_on(look.colour(e))}">{escape(e)}</span>'
        for e in dict.fromkeys(site_symbols(structure))
    )
    lattice = structure.lattice
    lengths = ", ".join(f"{v:.2f}" for v in lattice.abc)
    angles = ", ".join(f"{v:.1f}" for v in lattice.angles)
    parts = (
        f"a, b, c = {lengths} Å",
        f"α, β, γ = {angles}°",
        f"{lattice.volume:.1f} Å³",
    )
    cell = " ".join(f'<span class="cl-cell">{part}</span>' for part in parts)
    return f"<div>{chips}</div><div>{cell}</div>"
