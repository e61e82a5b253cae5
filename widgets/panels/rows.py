"""What a table says of a crystal, and how a column is called."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystal_ldm.crystals.distances import min_distance

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
    "band_gap": Column("Gap", "PBE band gap as CGCNN predicts it", "eV", 2),
    "e_above_hull": Column("Hull", "Energy above the convex hull", "eV/atom", 3),
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
        "Moved", "How far the model had the host's atoms from their places, at most", "Å", 3
    ),
    "strength": Column("Strength", "How far back towards noise a crystal was varied", "", 2),
    "known_as": Column("Id", "How the data set calls the crystal"),
    "origin": Column("Origin", "Generated, varied, interpolated, relaxed or loaded"),
}


def column_info(key: str) -> Column:
    """Return what is known of a column; one that is not known is called by its key."""
    return COLUMNS.get(key) or Column(key.replace("_", " ").capitalize(), key)


HIDDEN = ("recipe", "cif", "seed", "row", "number", "id")
"""Columns that a run's table has but that say nothing in a gallery."""


def crystal_row(structure: Structure) -> dict[str, Any]:
    """Return the columns that need the structure alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            symbol, number = structure.get_space_group_info(symprec=SYMPREC)
        group = f"{symbol} ({number})"
    except Exception:  # spglib raises its own kinds on cells it cannot read
        group = "unknown"
    return {
        "formula": structure.composition.reduced_formula,
        "space_group": group,
        "num_atoms": len(structure),
        "density": float(structure.density),
        "min_distance": min_distance(structure),
    }


def table_columns(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the columns of `rows` for `Table`: known ones first, others as they come."""
    rows = list(rows)
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in HIDDEN))
    if len({row.get("origin") for row in rows}) < 2:  # it says nothing, and takes width
        keys = [key for key in keys if key != "origin"]
    known = [key for key in COLUMNS if key in keys]
    columns = []
    for key in [*known, *(k for k in keys if k not in COLUMNS)]:
        about = column_info(key)
        tip = f"{about.tip}, {about.unit}" if about.unit else about.tip
        column: dict[str, Any] = {"key": key, "label": about.label, "unit": about.unit, "tip": tip}
        if about.digits is not None:
            column["digits"] = about.digits
        columns.append(column)
    return columns


def table_rows(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]
) -> list[list[Any]]:
    """Return the cells of `rows`, plain values only, None where one is missing."""
    return [[_plain(row.get(column["key"])) for column in columns] for row in rows]


def numeric_keys(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return the columns that hold numbers, for the axes of a plot."""
    return [
        column["key"]
        for column in columns
        if any(
            isinstance(v := _plain(row.get(column["key"])), int | float) and not isinstance(v, bool)
            for row in rows
        )
    ]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return str(value)
