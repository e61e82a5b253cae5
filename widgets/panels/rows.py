"""What a table says of a crystal, how a column is called, and two columns in a plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw
import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.browser.table_filter import is_number
from crystal_ldm.widgets.crystal_entry import plain
from pymatgen.core import Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.geometry.distances import min_distance
from crystal_ldm.crystals.symmetry.space_groups import group_symbol, space_group
from crystal_ldm.evaluate.thresholds import Thresholds

SYMPREC = 0.1
"""Å, tolerance of the space group shown."""


@dataclass(frozen=True)
class Column:
    """How a column is called, what it means, in which unit, with how many digits."""

    label: str
    tip: str
    unit: str = ""
    digits: int | None = None

    @property
    def axis(self) -> str:
        """The title of a plot's axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


COLUMNS: dict[str, Column] = {
    "formula": Column("Formula", "Reduced formula"),
    "space_group": Column("Space group", f"Found by spglib with a tolerance of {SYMPREC} Å"),
    "num_atoms": Column("Atoms", "Atoms in the cell"),
    "target_band_gap": Column("Target gap", "Band gap asked for", "eV", 2),
    "target_space_group": Column("Target group", "Number of the space group asked for"),
    "target_e_above_hull": Column("Target hull", "Hull distance asked for", "eV/atom", 3),
    "band_gap": Column("Gap", "PBE band gap as CGCNN predicts it", "eV", 2),
    "e_above_hull": Column("Hull", "Energy above the convex hull", "eV/atom", 3),
    "rank": Column("Rank", "By the worse of the distances from the hull"),
    "e_above_hull_chgnet": Column(
        "Hull, CHGNet", "Energy above the convex hull after relaxation by CHGNet", "eV/atom", 3
    ),
    "e_above_hull_sevennet": Column(
        "Hull, SevenNet", "Energy above the convex hull, as SevenNet sees it", "eV/atom", 3
    ),
    "e_above_hull_before": Column(
        "Hull, unrelaxed", "By CHGNet before relaxation; it was screened by this", "eV/atom", 3
    ),
    "caution": Column("Caution", "Why the numbers may deceive"),
    "space_group_number": Column("Group number", "Number of the space group"),
    "space_group@0.1": Column("Group number (0.1 Å)", "Number of the space group, within 0.1 Å"),
    "novelty": Column("Novelty", "New, a known prototype, or a known crystal with other elements"),
    "known_crystal": Column("Nearest known", "The training crystal with the same structure"),
    "nearest_id": Column("Nearest known (id)", "The nearest known crystal, by its id"),
    "prototype": Column("Prototype", "Its type in the AFLOW library"),
    "decomposes_to": Column("Competes with", "Phases that it would decompose into"),
    "cif": Column("File", "Its CIF in the run"),
    "volume_change": Column("Volume change", "By the relaxation, against the row above", "%", 1),
    "energy_change": Column("Energy change", "By the relaxation, by CHGNet", "eV/atom", 3),
    "largest_shift": Column(
        "Largest shift", "Of an atom by the relaxation, without the change of the cell", "Å", 2
    ),
    "valid": Column("Valid", "Distances, volume and composition are physical"),
    "failed": Column("Failed", "Filters that no attempt at this crystal has passed"),
    "novel": Column("New", "Not in the training set"),
    "unique": Column("Unique", "Unlike every earlier crystal"),
    "density": Column("Density", "Density", "g/cm³", 2),
    "min_distance": Column("Shortest", "Shortest distance between two atoms", "Å", 2),
    "volume_per_atom": Column("Volume/atom", "Volume per atom", "Å³", 1),
    "formation_energy_per_atom": Column("Formation", "Formation energy", "eV/atom", 2),
    "element_agreement": Column(
        "Agreement", "Share of atoms whose element the decoder chose itself", "", 2
    ),
    "displacement": Column(
        "Moved", "How far an atom was moved into its host or space group, at most", "Å", 3
    ),
    "strength": Column("Strength", "How far back towards noise a crystal was varied", "", 2),
    "known_as": Column("Id", "How the data set calls the crystal"),
    "origin": Column("Origin", "Generated, varied, interpolated, relaxed or loaded"),
}


def column_info(key: str) -> Column:
    """Return what is known of a column; one that is not known is called by its key."""
    return COLUMNS.get(key) or Column(key.replace("_", " ").capitalize(), key)


UNUSUAL = ("volume_per_atom", "element_agreement")
"""Columns that are shown when they are chosen: nearly the density, and nearly always 1."""
HIDDEN = ("recipe", "cif", "xrd", "seed", "row", "number", "id")
"""Columns that a run's table has but that say nothing in a gallery."""


def crystal_row(structure: Structure) -> dict[str, Any]:
    """Return the columns that need the structure alone."""
    number = space_group(Cell.from_structure(structure), SYMPREC)
    return {
        "formula": structure.composition.reduced_formula,
        "space_group": f"{group_symbol(number)} ({number})" if number else "unknown",
        "num_atoms": len(structure),
        "density": float(structure.density),
        "min_distance": min_distance(structure),
    }


def physical(row: Mapping[str, Any]) -> bool:
    """Return whether the distances and the volume of a row's crystal are physical."""
    limits = Thresholds()
    spacious = row["volume_per_atom"] > limits.min_volume_per_atom
    return bool(spacious and row["min_distance"] > limits.min_distance)


def table_columns(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the columns of `rows` for `Table`: known ones first, others as they come."""
    rows = list(rows)
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in HIDDEN))
    if len({row.get("origin") for row in rows}) < 2:  # it says nothing, and takes width
        keys = [key for key in keys if key != "origin"]
    known = [key for key in COLUMNS if key in keys]
    shown = [*known, *(key for key in keys if key not in COLUMNS)]
    return [{"key": key, **vars(column_info(key))} for key in shown]


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of a crystal as plain values only."""
    return {key: plain(value) for key, value in row.items()}


def numeric_keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns that hold numbers, for the axes of a plot."""
    return [
        column["key"]
        for column in table_columns(rows)
        if any(is_number(row.get(column["key"])) for row in rows)
    ]


def offer_columns(menu: ipw.Dropdown, keys: Sequence[str], none: bool = False) -> None:
    """Let a menu offer columns, or `none` of them; what it shows stays, if it can."""
    options = [("none", "")] if none else []
    options += [(column_info(key).label, key) for key in keys]
    if options and list(menu.options) != options:
        wanted = menu.value
        menu.options = options
        menu.value = wanted if wanted in dict(options).values() else options[0][1]


def scatter_figure(
    rows: Sequence[Mapping[str, Any]],
    order: Sequence[int],
    x: str,
    y: str,
    colour: str = "",
) -> go.Figure:
    """Return a plot of two columns; each point carries its index."""
    shown = [i for i in order if rows[i].get(x) is not None and rows[i].get(y) is not None]
    marker: dict[str, Any] = {"size": 8, "opacity": 0.8, "color": "#2f86d6"}
    if colour:
        marker |= {
            "color": np.array([rows[i].get(colour) for i in shown], dtype=float),  # None: nan
            "colorscale": "Viridis",
            "colorbar": {
                "title": {"text": column_info(colour).axis, "side": "right"},
                "thickness": 10,
            },
        }
    figure = go.Figure(
        go.Scatter(
            x=[rows[i][x] for i in shown],
            y=[rows[i][y] for i in shown],
            customdata=shown,
            text=[f"{rows[i].get('formula', '')} {rows[i].get('space_group', '')}" for i in shown],
            mode="markers",
            marker=marker,
            hovertemplate="%{text}<br>%{x:.3g}, %{y:.3g}<extra></extra>",
        )
    )
    figure.update_layout(
        xaxis={"title": {"text": column_info(x).axis, "font_size": 11}},
        yaxis={"title": {"text": column_info(y).axis, "font_size": 11}},
        margin={"l": 48, "r": 8, "t": 8, "b": 40},
        showlegend=False,
        uirevision=f"{x}/{y}",
    )
    return figure
