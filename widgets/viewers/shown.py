"""What a viewer shows of a crystal: which cell of it, in which look, and atoms that are picked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets as tl
from crystal_ldm.widgets.base import Listeners, Notice, Panel, Quiet
from crystal_ldm.widgets.layout import escape, row, show_if
from crystal_ldm.widgets.viewers.elements import COLOURS, LOOK, STYLES, Look, ink_on
from crystal_ldm.widgets.viewers.scene import Scene, build_scene
from pymatgen.core import Structure

from crystal_ldm.crystals.geometry.bonds import Bond, coordination_numbers, site_symbols
from crystal_ldm.crystals.geometry.measurement import measure
from crystal_ldm.crystals.geometry.polyhedra import Corner, coordination_polyhedra
from crystal_ldm.crystals.symmetry.analysis import CELLS, SYMPREC, wyckoff_letters
from crystal_ldm.errors import DataError, RequestError

HOME = (0, 0, 0)
MOST_CELLS = 99
"""Cells along one axis."""
MOST = 4
"""Atoms that can be measured together."""


class ShownCrystal(Panel):
    """A crystal, how it is shown, and which of its atoms are picked.

    Traits:
        structure: the pymatgen Structure, or None.
        supercell: how often the cell is repeated along a, b, c.
        images: atoms on a face of the cell are drawn at the opposite face too.
        bonds: bonds are drawn, unless atoms fill the space between them.
        labels: element symbols are written onto the atoms.
        polyhedra: the anions around each cation are drawn as a polyhedron.
        cell: "as made", "primitive", "conventional" or "symmetrised"; `shown` is in it.
        style: "Ball and stick" or "Space filling".
        colours: "Soft", "VESTA" or "Jmol".
        picked: numbers of atoms of `shown`, from 0. A click adds or removes one, and the one after
            the fourth begins anew. Set by a program, each atom but the first is taken in the cell
            where it is nearest to the one before.
        choosing: atoms are chosen for some purpose, any number, instead of measured; all images of
            an atom are one.

    Attributes:
        shown: the crystal in that cell; of a trajectory the frame that is shown.
        drawn_bonds: its bonds.
        scene: what is drawn of it, or None.
        on_pick: `on_pick(action)`: call `action(picked)` when atoms are picked, and not when
            another crystal comes.
    """

    structure = tl.Any(None, allow_none=True)
    supercell = tl.Tuple(tl.Int(), tl.Int(), tl.Int(), default_value=(1, 1, 1))
    images = tl.Bool(True)
    bonds = tl.Bool(True)
    labels = tl.Bool(False)
    polyhedra = tl.Bool(False)
    cell = tl.Enum(CELLS, default_value=CELLS[0])
    style = tl.Enum(STYLES, default_value=STYLES[0])
    colours = tl.Enum(COLOURS, default_value=COLOURS[0])
    picked = tl.List(tl.Int(min=0))
    choosing = tl.Bool(False)

    def __init__(self) -> None:
        super().__init__()
        self._frame = 0
        self._frames: list[Structure] = []
        self._cells: list[Structure] = []
        self._bonds: list[list[Bond]] = []
        self._scenes: list[Scene] = []
        self._picks: list[Corner] = []
        self._quiet = Quiet()
        self.on_pick = Listeners()
        self.said = Notice()
        self.said.widget.remove_class("cl-notice").add_class("cl-said")
        clear = self.button("Clear", lambda: setattr(self, "picked", []),
                       css="cl-small", tip="Forget the picked atoms")  # fmt: skip
        self.pick_row = row(self.said.widget, clear, css="cl-picks")
        show_if(False, self.pick_row)
        self.react("picked", self._on_picked)

    @property
    def shown(self) -> Structure | None:
        return self._cells[self._frame] if self._cells else None

    @property
    def drawn_bonds(self) -> list[Bond]:
        return self._bonds[self._frame] if self._bonds else []

    @property
    def scene(self) -> Scene | None:
        return self._scenes[self._frame] if self._scenes else None

    def lay_out(self) -> list[Scene]:
        """Return each frame as it is drawn."""
        drawn = self.bonds and self.style == STYLES[0]
        return [
            build_scene(
                cell,
                bonds if drawn else [],
                self.supercell,
                self.images,
                polyhedra=coordination_polyhedra(cell, bonds) if self.polyhedra else (),
            )
            for cell, bonds in zip(self._cells, self._bonds, strict=True)
        ]

    @property
    def look(self) -> Look:
        """How atoms are drawn."""
        return Look(self.colours, self.style, self.labels)

    def forget(self) -> None:
        """Forget the picked atoms, as another crystal is shown."""
        self._picks = []
        with self._quiet:
            self.picked = []

    def pick(self, atom: int) -> None:
        """Pick a drawn atom by its number in `scene`, or forget it if it was picked."""
        if (scene := self.scene) is None:
            return
        one: Corner = (int(scene.sites[atom]), tuple(scene.cells[atom].tolist()))
        if self.choosing:
            others = [site for site in self.picked if site != one[0]]
            self.picked = others if one[0] in self.picked else [*others, one[0]]
            return
        if one in self._picks:
            picks = [other for other in self._picks if other != one]
        else:
            picks = [*self._picks, one] if len(self._picks) < MOST else [one]
        self._picks = picks
        self.picked = [site for site, _ in picks]

    def pick_text(self, text: str) -> None:
        """Pick atoms by their numbers, such as "0, 3".

        Raises:
            RequestError: the text is something else, or there is no such atom.
        """
        words = text.replace(",", " ").split()
        if not all(word.isascii() and word.isdigit() for word in words):
            raise RequestError(f"'{text}' should be numbers of atoms between commas, such as 0, 3.")
        self.picked = [int(word) for word in words]

    @tl.validate("supercell")
    def _repeated(self, proposal: Any) -> tuple[int, int, int]:
        if not all(1 <= count <= MOST_CELLS for count in proposal.value):
            raise RequestError(f"A cell is repeated 1 to {MOST_CELLS} times along a, b and c.")
        return tuple(proposal.value)

    @tl.validate("picked")
    def _exist(self, proposal: Any) -> list[int]:
        count = 0 if self.shown is None else len(self.shown)
        wrong = [site for site in proposal.value if site >= count]
        if wrong and not self._quiet:
            raise RequestError(
                f"There is no atom {wrong[0]}: the cell has the atoms 0 to {count - 1}."
            )
        return list(proposal.value)

    def _on_picked(self) -> None:
        if self.shown is not None and not self._quiet:
            if [site for site, _ in self._picks] != self.picked:
                self._picks = nearest_images(self.shown, self.picked)
            self.say_picked()
            self.on_pick.tell(self.picked)

    @property
    def marked(self) -> list[int]:
        """The numbers of the drawn atoms that are picked."""
        if (scene := self.scene) is None:
            return []
        if self.choosing:
            return np.flatnonzero(np.isin(scene.sites, self.picked)).tolist()
        drawn = zip(scene.sites.tolist(), map(tuple, scene.cells.tolist()), strict=True)
        numbers = {place: atom for atom, place in enumerate(drawn)}
        return [numbers[pick] for pick in self._picks if pick in numbers]

    def say_picked(self) -> None:
        """Write what the picked atoms are."""
        text = ""
        if self.shown is not None and not self.choosing:
            text = describe(self.shown, self._picks, self.drawn_bonds)
        self.said.say(text)
        show_if(bool(text), self.pick_row)


def nearest_images(structure: Structure, sites: Sequence[int]) -> list[Corner]:
    """Return the sites, each but the first in the cell where it is nearest to the one before."""
    frac = structure.frac_coords % 1.0
    picks: list[Corner] = []
    for site in sites:
        cell = HOME
        if picks:
            last, where = picks[-1]
            _, jump = structure.lattice.get_distance_and_image(frac[last] + where, frac[site])
            cell = tuple(jump.astype(int).tolist())
        picks.append((site, cell))
    return picks


def describe(structure: Structure, picks: Sequence[Corner], bonds: Sequence[Bond]) -> str:
    """Return one line: facts of one atom, or the distance, angle or torsion of two to four."""
    symbols = site_symbols(structure)
    places = [structure.frac_coords[site] % 1.0 + cell for site, cell in picks]
    if not picks:
        return ""
    if len(picks) > 1:
        names = " – ".join(f"{symbols[site]} {site}" for site, _ in picks)
        try:
            return f"{names}: {measure(places @ structure.lattice.matrix)}"
        except DataError as error:
            return f"{names}: {error}"
    (site, _), (x, y, z) = picks[0], places[0]
    count = coordination_numbers(bonds, len(structure))[site]
    try:
        letter = f"Wyckoff position {wyckoff_letters(structure)[site]} (within {SYMPREC:g} Å)"
    except DataError:
        letter = "no Wyckoff position was found"
    return (
        f"{symbols[site]}, atom {site}: {letter}, coordination {count}, "
        f"at ({x:.4f}, {y:.4f}, {z:.4f})"
    )


def legend_html(structure: Structure | None, look: Look = LOOK) -> str:
    """Return the legend of a crystal; None: that there is none."""
    if structure is None:
        return '<span class="cl-caption">No crystal is shown.</span>'
    colours = {e: look.colour(e) for e in site_symbols(structure)}
    chips = "".join(
        f'<span class="cl-chip" style="background:{c};color:{ink_on(c)}">{escape(e)}</span>'
        for e, c in colours.items()
    )
    lattice = structure.lattice
    parts = (
        "a, b, c = " + ", ".join(f"{v:.2f}" for v in lattice.abc) + " Å",
        "α, β, γ = " + ", ".join(f"{v:.1f}" for v in lattice.angles) + "°",
        f"{lattice.volume:.1f} Å³",
    )
    cell = " ".join(f'<span class="cl-cell">{part}</span>' for part in parts)
    return f"<div>{chips}</div><div>{cell}</div>"
