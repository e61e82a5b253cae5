"""The atom sites of a CIF: element, place, and what speaks against them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.elements import symbols
from crystal_ldm.crystals.readers.cif.block import Block, decimals, number
from crystal_ldm.errors import DataError

_AXES = ("x", "y", "z")
_TAGS = {
    **{axis: (f"_atom_site_fract_{axis}",) for axis in _AXES},
    "label": ("_atom_site_label", "_atom_site_id"),
    "type": ("_atom_site_type_symbol",),
    "occupancy": ("_atom_site_occupancy",),
    "hydrogens": ("_atom_site_attached_hydrogens",),
    "multiplicity": (
        "_atom_site_site_symmetry_multiplicity",
        "_atom_site_symmetry_multiplicity",
        "_atom_site_site_symmetry_order",
    ),
    "flag": ("_atom_site_calc_flag",),
    "group": ("_atom_site_disorder_group",),
    "assembly": ("_atom_site_disorder_assembly",),
}
"""What is read of each site."""
_FULL = 1e-3
"""An occupancy that differs from 1 by more than this is partial."""
_THIRDS = (1 / 3, 2 / 3)
_THIRD_TOLERANCE = 1e-4  # relative, as pymatgen's parser has it
_TYPE = re.compile(r"([A-Za-z]{1,2})[-+]?\d*\.?\d*[-+]?")
"""A type symbol: an element with its charge."""
_LABEL = re.compile(r"([A-Za-z]{1,2})(?:[-+_(]*\d[\w()'*+-]*|[-+])?")
"""A label that leaves no doubt: an element with a number; `site1`, `Osite` and `Si/Al` are none."""
_WATER = re.compile(r"(wat|o[_-]?[wh]|o\d+w|h2o|n[_-]?h\d?|ch\d)(?![a-z])", re.IGNORECASE)
_HEAVY = {"D": "Deuterium", "T": "Tritium"}


@dataclass(frozen=True)
class Site:
    """A site as the file lists it.

    Attributes:
        label: its name in the file.
        number: atomic number.
        coords: fractional coordinates (3,).
        decimals: decimals of its most precise coordinate.
        multiplicity: stated number of equivalent atoms, or of operations that leave it, or None.
    """

    label: str
    number: int
    coords: NDArray[np.float64]
    decimals: int
    multiplicity: int | None = None


def read_sites(block: Block, elements: frozenset[str]) -> tuple[list[Site], list[str]]:
    """Return the fully occupied sites of a block, and notes.

    Args:
        block: the data block.
        elements: symbols of the formula that the file states; they decide what `CO1` is.

    Raises:
        DataError: if a site has no place or no element, is partly occupied, or lacks hydrogen.
    """
    columns = {name: block.column(*tags) for name, tags in _TAGS.items()}
    if any(columns[axis] is None for axis in _AXES):
        raise DataError("The CIF gives no fractional coordinates for its atoms.")
    count = len(columns["x"] or ())
    if count == 0:
        raise DataError("The CIF lists no atoms: it holds no crystal, or is cut short.")
    if columns["label"] is None and columns["type"] is None:
        raise DataError("The CIF does not say which elements its atoms are.")
    if any(len(column) != count for column in columns.values() if column is not None):
        raise DataError("The CIF's columns of atoms are not equally long; it may be cut short.")

    sites: list[Site] = []
    waters: list[str] = []
    alternatives: dict[str, str] = {}
    notes: list[str] = []
    for i in range(count):
        row = {name: column[i] if column else "" for name, column in columns.items()}
        type_, label = row["type"], row["label"] or row["type"]
        if not label:
            raise DataError(f"The CIF does not say which element its atom number {i + 1} is.")
        share = number(row["occupancy"] or "1", f"the occupancy of {label}")
        if share == 0 or row["flag"].lower() in ("dum", "dummy"):
            continue
        if not 0 <= share <= 1 + _FULL:
            raise DataError(f"The CIF gives {label} the occupancy {share:g}, which cannot be.")
        if abs(share - 1) > _FULL:
            raise DataError(
                f"It is disordered (the site {label} has the occupancy {share:g}); make an ordered "
                "approximant first."
            )
        if number(row["hydrogens"] or "0", f"hydrogens of {label}") != 0:
            raise DataError(
                f"Hydrogen is missing: the CIF says that hydrogens are attached to {label} and "
                "gives no place for them."
            )
        group = row["group"]
        if group not in ("", "0") and (
            group.startswith("-") or alternatives.setdefault(row["assembly"], group) != group
        ):
            raise DataError(
                f"It is disordered ({label} is of the alternative {group} of its sites); make "
                "an ordered approximant first."
            )
        symbol = _element(type_, label, elements)
        if symbol in _HEAVY:
            notes.append(f"{_HEAVY[symbol]} is read as hydrogen.")
            symbol = "H"
        if symbol in ("O", "N"):
            waters += [name for name in (label, type_) if _WATER.match(name)]
        texts = [row[axis] for axis in _AXES]
        if not all(texts):
            raise DataError(f"The atom {label} has no place: its coordinates are not given.")
        coords = [number(t, f"{axis} of {label}") for t, axis in zip(texts, _AXES, strict=True)]
        sites.append(
            Site(
                label,
                symbols().index(symbol),
                np.array([_ideal(x) for x in coords]),
                max(decimals(text) for text in texts),
                int(row["multiplicity"]) if row["multiplicity"].isdecimal() else None,
            )
        )
    if not sites:
        raise DataError("The CIF lists no occupied atoms.")
    if waters and all(site.number != 1 for site in sites):
        raise DataError(
            f"Hydrogen is missing: {waters[0]} is water, hydroxide or ammonium by its name, and "
            "the CIF gives no place for hydrogen."
        )
    return sites, list(dict.fromkeys(notes))


def _ideal(x: float) -> float:
    """Return 1/3 and 2/3 for what four decimals or more say of them."""
    return next((t for t in _THIRDS if abs(x / t - 1) <= _THIRD_TOLERANCE), x)


def _element(type_: str, label: str, elements: frozenset[str]) -> str:
    """Return the symbol of a site's element (D and T included).

    Without a type symbol the label says it, by its letters where they are an element; where the
    formula is stated, its elements decide what the letters begin with.

    Raises:
        DataError: if it is none, or cannot be told.
    """
    named = type_ or label
    letters = re.match(r"[A-Za-z]{0,2}", label).group()  # type: ignore[union-attr]
    two, one = letters.capitalize(), letters[:1].upper()
    known = {*symbols()[1:], *(_HEAVY if type_ else "D")}
    if type_:
        match = _TYPE.fullmatch(type_)
        options = [match.group(1).capitalize()] if match else []
    elif elements:
        options = [s for s in (two, one) if ("H" if s == "D" else s) in elements]
    else:
        options = [two, one] if _LABEL.fullmatch(label) and two in known else []
    options = list(dict.fromkeys(s for s in options if s in known))
    if len(options) > 1 and letters.isupper():
        raise DataError(f"The atom '{named}' may be {' or '.join(options)}; the CIF does not say.")
    if options:
        return options[0]
    if _WATER.match(named):
        raise DataError(f"Hydrogen is missing: '{named}' stands for atoms without places.")
    raise DataError(f"It holds a species that is not a chemical element ('{named[:20]}').")
