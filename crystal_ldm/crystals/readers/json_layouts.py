"""One structure as plain data, in the layout of pymatgen, JARVIS, OPTIMADE or ASE."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import NOT_PERIODIC, Cell
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.crystals.readers.cif.sites import group_note
from crystal_ldm.crystals.readers.entries import DISORDERED
from crystal_ldm.crystals.readers.poscar import HYDROGEN
from crystal_ldm.errors import DataError, FormulaError

LAYOUTS = (
    "a list or dict of pymatgen structures, records with a 'structure' (matbench, the Materials "
    "Project), entries of Alexandria, records of JARVIS with 'atoms', OPTIMADE's or ASE's "
    "structures, or records with a 'cif'"
)


def is_structure_data(data: Any) -> bool:
    """Whether a dictionary is itself a structure in one of the layouts."""
    return isinstance(data, dict) and any(
        needed <= set(data)
        for needed in (
            {"sites"}, {"lattice_mat", "coords"}, {"cartesian_site_positions"},
            {"numbers", "positions"},
        )
    )  # fmt: skip


def read_structure(data: Any) -> tuple[Cell, tuple[str, ...]]:
    """Return the cell of a structure in one of the layouts, and notes on what was changed.

    Raises:
        DataError: if it is none, is disordered, or holds something that is not an element.
    """
    if not isinstance(data, Mapping):
        raise DataError(f"It is no structure but {data!r:.40}; what can be read: {LAYOUTS}.")
    labels: list[object] = []
    try:
        if "lattice_mat" in data:
            lattice, coords, names = _jarvis(data)
        elif "cartesian_site_positions" in data:
            lattice, coords, names = _optimade(data)
        elif "numbers" in data and "positions" in data:
            return _ase(data), ()
        else:
            lattice, coords, names = _pymatgen(data)
            labels = [site.get("label") for site in data["sites"]]
    except (KeyError, TypeError, ValueError, IndexError, np.linalg.LinAlgError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"It is no structure in a known layout ({error!r}); what can be read: {LAYOUTS}."
        ) from error
    try:
        numbers = [atomic_number(_element(name)) for name in names]
    except FormulaError as error:
        raise DataError(str(error)) from error
    notes = site_notes(labels, [_CHARGE.sub("", name) for name in names])
    return Cell.from_arrays(np.array(numbers, dtype=np.int64), coords, lattice), tuple(notes)


def site_notes(labels: Sequence[object], elements: Sequence[str]) -> list[str]:
    """Return notes on the sites of a structure, of which labels and symbols of elements are given.

    Of labels those count that a parser has taken for an element of two letters (`NO3`: No).
    """
    pairs = zip(labels, elements, strict=False)  # no other layout than pymatgen's has labels
    notes = [group_note(str(label), symbol) for label, symbol in pairs if len(symbol) == 2]
    heavy = [HYDROGEN for symbol in elements if symbol in ("D", "T")]
    return list(dict.fromkeys(filter(None, [*heavy, *notes])))


_CHARGE = re.compile(r"\d*(\.\d+)?[-+]$|[-+]\d+$")
_IN_FORMULA = re.compile(r"([A-Z][a-z]?)(\d*)")
_IN_METRES = 1e-20
_NOT_ALL = {"disorder", "implicit_atoms", "site_attachments", "assemblies"}
"""Features of an OPTIMADE structure whose sites are not all of its atoms, or more."""
_Arrays = tuple[NDArray[np.float64], NDArray[np.float64], list[str]]


def _pymatgen(data: Any) -> _Arrays:
    if "sites" in data and "lattice" not in data:
        raise DataError(
            "It has sites and no lattice: it is a molecule, or of another layout (OQMD's own; its "
            "OPTIMADE answers are read)."
        )
    lattice = _lattice(data["lattice"])
    if not all(data["lattice"].get("pbc", (True, True, True))):
        raise DataError(NOT_PERIODIC)
    sites = data["sites"]
    if all("abc" in site for site in sites):
        coords = np.array([site["abc"] for site in sites], dtype=np.float64).reshape(-1, 3)
    else:
        places = np.array([site["xyz"] for site in sites], dtype=np.float64).reshape(-1, 3)
        coords = places @ np.linalg.inv(lattice)
    species = [site["species"] for site in sites]
    occupied = [[(str(s["element"]), float(s["occu"])) for s in group] for group in species]
    if any(len(group) != 1 or abs(group[0][1] - 1) > 1e-3 for group in occupied):
        raise DataError(DISORDERED)
    return lattice, coords, [group[0][0] for group in occupied]


def _lattice(data: Any) -> NDArray[np.float64]:
    if "matrix" in data:
        return np.array(data["matrix"], dtype=np.float64)
    from pymatgen.core import Lattice

    names = ("a", "b", "c", "alpha", "beta", "gamma")
    return np.array(Lattice.from_parameters(*(float(data[name]) for name in names)).matrix)


def _jarvis(data: Any) -> _Arrays:
    lattice = np.array(data["lattice_mat"], dtype=np.float64)
    coords = np.array(data["coords"], dtype=np.float64).reshape(-1, 3)
    if str(data.get("cartesian") or False).lower() not in ("false", "0"):
        coords = coords @ np.linalg.inv(lattice)
    return lattice, coords, [str(name).strip() for name in data["elements"]]


def _optimade(data: Any) -> _Arrays:
    if not all(data.get("dimension_types", (1, 1, 1))):
        raise DataError(NOT_PERIODIC)
    lattice = np.array(data["lattice_vectors"], dtype=np.float64)
    if (volume := abs(np.linalg.det(lattice))) < _IN_METRES:
        metres = "is of metres, as NOMAD stores it; lengths in Å are wanted"
        raise DataError(f"Its cell {metres if volume else 'has no volume'}.")
    coords = np.array(data["cartesian_site_positions"], dtype=np.float64).reshape(-1, 3)
    kinds = {kind["name"]: kind for kind in data.get("species") or ()}
    names = []
    for name in data["species_at_sites"]:
        kind = kinds.get(name, {})
        elements = kind.get("chemical_symbols", [name])
        share = (kind.get("concentration") or [1.0])[0]
        if len(elements) != 1 or elements[0] in ("X", "vacancy") or abs(share - 1) > 1e-3:
            raise DataError(DISORDERED)
        if any(kind.get("nattached") or kind.get("attached") or ()):
            raise DataError(f"Atoms are missing: the species '{name}' has others attached to it.")
        names.append(str(elements[0]))
    if features := sorted(_NOT_ALL & set(data.get("structure_features") or ())):
        raise DataError(f"Its sites are not its atoms ({', '.join(features)}).")
    _check_optimade(data, names)
    return lattice, coords @ np.linalg.inv(lattice), names


def _check_optimade(data: Any, names: list[str]) -> None:
    """See that an entry has the atoms and the formula that it states.

    Raises:
        DataError: if it has not.
    """
    stated = str(data.get("chemical_formula_reduced") or "")
    counts = {symbol: int(n or 1) for symbol, n in _IN_FORMULA.findall(stated)}
    found = Counter(names)
    units = len(names) / max(sum(counts.values()), 1)
    if data.get("nsites") not in (None, len(names)):
        raise DataError(f"It states {data['nsites']} sites and lists {len(names)}.")
    if counts and {symbol: n * units for symbol, n in counts.items()} != found:
        raise DataError(f"It states the formula {stated} and lists atoms of another.")


def _ase(data: Any) -> Cell:
    def array(value: Any) -> NDArray[Any]:
        while isinstance(value, dict) and "array" in value:
            value = value["array"]
        if isinstance(value, dict):
            shape, kind, flat = value["__ndarray__"]
            return np.array(flat, dtype=np.dtype(str(kind))).reshape(shape)
        return np.asarray(value)

    lattice = array(data["cell"]).astype(np.float64)
    if not array(data.get("pbc", (False,) * 3)).all():
        raise DataError(NOT_PERIODIC)
    coords = array(data["positions"]).astype(np.float64) @ np.linalg.inv(lattice)
    return Cell.from_arrays(array(data["numbers"]).astype(np.int64), coords, lattice)


def _element(symbol: str) -> str:
    bare = _CHARGE.sub("", symbol)  # Cs1+, O2-
    return "H" if bare in ("D", "T") else bare
