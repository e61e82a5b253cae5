"""The atom sites of a CIF: element, place, and what speaks against them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

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
_CHARGE = re.compile(r"([A-Za-z]{1,2})[-+]?\d*\.?\d*[-+]?")
_WATER = re.compile(r"(wat|o[_-]?[wh]|o\d+w|h2o|n[_-]?h\d?)(?![a-z])", re.IGNORECASE)
_ISOTOPE = re.compile(r"(?:\d{1,3}([A-Z][a-z]?)|([A-Z][a-z]?)_\d{1,3})")
_LABELLED = re.compile(r"([A-Z][a-z]?)(?![A-Za-z])")
_VACANCY = re.compile(r"va(c\w*)?(?![a-z])", re.IGNORECASE)
_WATER_SYMBOL = re.compile(r"(wat|o[_-]?h|h2o|oh2|ow|n[_-]?h\d|ch\d?)\b.*", re.IGNORECASE)
_TUNGSTEN_OR_WATER = re.compile(r"W[Aa]\d*")
_NO_ELEMENT = re.compile(r"[a-z]{3,}|(?i:atom|center|centre|cation|anion|ligand|[a-z]?site)")
"""What names a site but not its element: atom1 is not At, iron not Ir, and Osite not Os."""
_HEAVY = {"D": "Deuterium", "T": "Tritium"}
_GROUP = re.compile(r"((?:[BCINPSVW]|[A-Z][a-z])O[2-9]|NO|[BP]F[2-9]|[BN]H|CN)(?![a-z])(?!\d*\+)")
"""What is an element to a reader and a group to a chemist: `NO3`, `SO4`, `CN`; `CO3+` is none."""
_ROMAN = re.compile(r"\(?[IVX]+\)?(?![a-z])")
_SHARED = re.compile(
    r"[-+\d.]*\s*[/,+&|:;]\s*[-+\d.]*([A-Z][a-z]?)|[-+]?\d*\.\d+[-+]?([A-Z][a-z]?)"
)
"""What names a second element behind the first one: `Na/K`, `Si,Al`, `Na0.5K0.5`."""


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
    if columns["label"] is None and columns["type"] is None:
        raise DataError("The CIF does not say which elements its atoms are.")
    if any(len(column) != count for column in columns.values() if column is not None):
        raise DataError("The CIF's columns of atoms are not equally long; it may be cut short.")

    sites: list[Site] = []
    renamed: list[str] = []
    waters: list[str] = []
    alternatives: dict[str, str] = {}
    notes: list[str] = []
    for i in range(count):
        row = {name: column[i] if column else "" for name, column in columns.items()}
        type_, label = row["type"], row["label"] or row["type"]
        if not label:
            raise DataError(f"The CIF does not say which element its atom number {i + 1} is.")
        share = number(row["occupancy"] or "1", f"the occupancy of {label}")
        if share == 0:
            continue
        if columns["occupancy"] and not row["occupancy"]:
            notes.append("An occupancy that is left open (. or ?) is read as 1.")
        if row["flag"].lower() in ("dum", "dummy"):
            notes.append("Dummy sites (calc_flag dum) are left out.")
            continue
        if not 0 <= share <= 1 + _FULL:
            raise DataError(f"The CIF gives {label} the occupancy {share:g}, which cannot be.")
        if abs(share - 1) > _FULL:
            raise _disordered(f"the site {label} has the occupancy {share:g}")
        if number(row["hydrogens"] or "0", f"hydrogens of {label}") != 0:
            raise DataError(
                f"Hydrogen is missing: the CIF says that hydrogens are attached to {label} and "
                "gives no place for them."
            )
        group = row["group"]
        if group not in ("", "0") and (
            group.startswith("-") or alternatives.setdefault(row["assembly"], group) != group
        ):
            raise _disordered(f"{label} is of the alternative {group} of its sites")
        symbol = _element(type_, label, elements)
        if other := _second_element(type_, label, elements):
            raise _disordered(f"'{other}' names more than one element for a site")
        if not type_ and not elements and _TUNGSTEN_OR_WATER.fullmatch(label):
            notes.append(f"{label} is read as tungsten; if it is water, hydrogen is missing.")
        if not elements and (group := group_note(type_ or label, symbol)):
            notes.append(group)
        if _ISOTOPE.fullmatch(type_):
            notes.append(f"The isotope {type_} is read as its element.")
        named = _LABELLED.match(label)
        if named and type_ and named.group(1) in symbols() and named.group(1) != symbol:
            renamed.append(f"{label} is {symbol}")
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
    if renamed:
        notes.append(
            "The element is what the column of type symbols says, where the label names another "
            f"({', '.join(renamed[:3])})."
        )
    return sites, list(dict.fromkeys(notes))


def group_note(name: str, symbol: str) -> str:
    """Return a note on a site of an element whose name is that of a group of atoms; else ""."""
    if not _GROUP.match(name):
        return ""
    return f"{name[:20]} is read as {symbol}; if it is a group of atoms, the others are missing."


def _disordered(reason: str) -> DataError:
    return DataError(f"It is disordered ({reason}); make an ordered approximant first.")


def _ideal(x: float) -> float:
    """Return 1/3 and 2/3 for what four decimals or more say of them."""
    return next((t for t in _THIRDS if abs(x / t - 1) <= _THIRD_TOLERANCE), x)


def _element(type_: str, label: str, elements: frozenset[str]) -> str:
    """Return the symbol of a site's element (D and T included).

    Raises:
        DataError: if it is none, or cannot be told.
    """
    named = type_ or label
    water = not type_ and re.match(r"wat|wa\d*$|h2o", label, re.IGNORECASE)
    if _TUNGSTEN_OR_WATER.fullmatch(label) and ("W" in elements or not elements):
        water = None
    if _WATER_SYMBOL.fullmatch(type_) or water:
        raise DataError(f"Hydrogen is missing: '{named}' stands for atoms without places.")
    if isotope := _ISOTOPE.fullmatch(type_):
        type_ = isotope.group(1) or isotope.group(2)
    match = _CHARGE.fullmatch(type_)
    if match and (symbol := match.group(1).capitalize()) in _all_symbols():
        return symbol
    letters = re.match(r"[A-Za-z]*", named)
    word = letters.group() if letters else ""
    meant = _names().get(word.lower(), "")
    # TiN1 and, where the formula says so, Tin1 are titanium.
    one_case = word[1:] in (word[1:].lower(), word[1:].upper())
    if meant and one_case and (meant in elements or not elements):
        return meant
    options = [] if _NO_ELEMENT.match(word) else _options(word)
    if not type_ and "T" in options:  # a tetrahedral site: nobody names tritium by a label alone
        options.remove("T")
    if _VACANCY.match(named) or re.match(r"[A-Z][a-z](?!al)", type_):  # no label, as `Oa` is one
        options = [o for o in options if len(o) > 1 or (not type_ and o in elements)]
    if len(options) > 1:
        options = [o for o in options if o in elements] or options
    if len(options) == 1:
        return options[0]
    if options:
        raise DataError(f"The atom '{named}' may be {' or '.join(options)}; the CIF does not say.")
    raise DataError(f"It holds a species that is not a chemical element ('{named[:20]}').")


def _second_element(type_: str, label: str, elements: frozenset[str]) -> str:
    """Return the type symbol or label that names two elements for one site; "" for neither.

    A label is a name of any kind: it counts where it has a slash, a comma or shares, and where no
    formula speaks against its second element.
    """
    first = re.match(r"[A-Za-z]{1,2}", type_)
    if first and not _CHARGE.fullmatch(type_) and not _ISOTOPE.fullmatch(type_):
        symbol = first.group() if first.group().capitalize() in _all_symbols() else type_[0]
        rest = _ROMAN.sub("", type_[len(symbol) :])
        if any(text in _all_symbols() for text in re.findall(r"[A-Z][a-z]?(?![a-z])", rest)):
            return type_
    second = _SHARED.search(label.strip("()"), 1)
    symbol = next((text for text in second.groups() if text), "") if second else ""
    return label if symbol in (elements or _all_symbols()) else ""


def _options(letters: str) -> list[str]:
    """Return the elements that a label may mean that begins with these letters."""
    options = []
    if len(letters) > 1 and letters[:2].capitalize() in _all_symbols():
        options.append(letters[:2].capitalize())
        if letters[1].islower():
            return options
    if letters[:1].upper() in _all_symbols():
        options.append(letters[:1].upper())
    return options


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return symbols by the English names of elements: copper is not Co."""
    from ase.data import atomic_names

    return {name.lower(): symbols()[z] for z, name in enumerate(atomic_names) if z}


@lru_cache(maxsize=1)
def _all_symbols() -> frozenset[str]:
    return frozenset(symbols()[1:]) | {"D", "T"}
