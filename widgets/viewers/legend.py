"""What is written below a crystal: its elements in their colours, and its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystal_ldm.widgets.base import escape
from crystal_ldm.widgets.viewers.elements import Look, ink_on

from crystal_ldm.crystals.bonds import site_symbols

if TYPE_CHECKING:
    from pymatgen.core import Structure


LOOK = Look()


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
