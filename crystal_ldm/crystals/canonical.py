"""The canonical description of a crystal: one cell, one origin, one axes setting, one atom order.

The same crystal can be written in endlessly many ways. A generative model that sees a different one
each time has to learn them all; a canonical form leaves it one. It is

1. the primitive cell (spglib), Niggli-reduced (Krivy & Gruber, Acta Cryst. A 32, 297 (1976));
2. among the proper rotations that map the lattice onto itself and the atoms of the rarest element
   as origins, the setting whose sorted coordinates come first in lexicographic order;
3. atoms listed by electronegativity, then by coordinates.

Cells and coordinates are known to a few digits only, and a lattice such as the face-centred cubic
one lies where several reduced cells meet. So the reduction is chosen for the lattice made as
symmetric as it nearly is, and settings are compared on a grid; the choice is then applied to the
crystal as it is, whose numbers stay untouched.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import spglib
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import electronegativity_rank

if TYPE_CHECKING:
    from pymatgen.core import Structure

SYMPREC = 0.01
"""Tolerance of the search for the primitive cell, Å."""

# Coordinates are compared on a grid of 48 points, so that all special positions (multiples of 1/8
# and 1/3) lie in the middle of a bin and rounding errors cannot move them into the next one.
_BINS = 48
_METRIC_TOLERANCE = 0.01
# What counts as a symmetry of the lattice in the choice of the reduced cell, relative to the
# metric: lengths that differ by 0.3 %. A strain of 1e-3 stays below it.
_REDUCTION_TOLERANCE = 0.006
# Metric (a², b², c², bc, ac, ab; of trace 1) in the choice between settings alike on the grid.
_METRIC_WEIGHTS = np.array([50.0, 40.0, 30.0, 20.0, 15.0, 10.0])
_UPPER = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])


def canonical_arrays(
    lattice: NDArray[Any], frac_coords: NDArray[Any], numbers: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return lattice (3, 3) in Å, fractional coordinates (n, 3) and atomic numbers (n,), canonical.

    The lattice comes back in the orientation of `standard_orientation`, right-handed.
    """
    lattice, frac_coords, numbers = _primitive(lattice, frac_coords, numbers)
    lattice, frac_coords = _niggli(lattice, frac_coords)
    lattice, frac_coords, order = canonical_setting(lattice, frac_coords, numbers)
    return standard_orientation(lattice), frac_coords, numbers[order]


def canonical_form(structure: Structure) -> Structure:
    """Return the same crystal in canonical form, without site properties or oxidation states.

    Raises:
        DataError: if the structure is disordered, empty, not finite, not periodic or flat.
    """
    return Cell(*canonical_arrays(*Cell.from_structure(structure).checked())).to_structure()


def standard_orientation(lattice: NDArray[Any]) -> NDArray[Any]:
    """Return the symmetric matrix with the same lengths and angles as `lattice` (row vectors, Å).

    It is the symmetric factor of the polar decomposition, the square root of the metric L Lᵀ: the
    orientation in which the lattice's logarithm is symmetric (see `crystals.lattice`).
    """
    values, vectors = np.linalg.eigh(lattice @ lattice.T)
    root: NDArray[Any] = (vectors * np.sqrt(values)) @ vectors.T
    return root


def _primitive(
    lattice: NDArray[Any], coords: NDArray[Any], numbers: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    cell = spglib.standardize_cell(
        (lattice.tolist(), coords.tolist(), numbers.tolist()),
        to_primitive=True,
        no_idealize=True,
        symprec=SYMPREC,
    )
    # spglib gives up on crowded cells; such a cell is kept as it is, and the data set's filters
    # decide about it.
    if cell is None or len(cell[2]) > len(numbers):
        return lattice, coords, numbers
    return np.array(cell[0]), np.array(cell[1]), np.array(cell[2])


def _niggli(lattice: NDArray[Any], coords: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    first = _reducing(lattice)
    reduced = first @ lattice
    # The metric averaged over the lattice's near symmetries has them exactly, so that a strain far
    # below the tolerance cannot decide between the reduced cells that meet there.
    symmetries = _automorphisms(reduced, _REDUCTION_TOLERANCE)
    metric = (symmetries @ (reduced @ reduced.T) @ symmetries.transpose(0, 2, 1)).mean(axis=0)
    change = _reducing(np.linalg.cholesky(metric)) @ first
    return change @ lattice, coords @ np.linalg.inv(change)


def _reducing(lattice: NDArray[Any]) -> NDArray[Any]:
    """Return the basis change (3, 3), whole numbers, whose cell is Niggli-reduced, right-handed."""
    reduced = spglib.niggli_reduce(lattice)
    change = np.eye(3) if reduced is None else np.rint(reduced @ np.linalg.inv(lattice))
    return change if np.linalg.det(change @ lattice) > 0 else -change


_VECTORS = np.array([v for v in product((-1.0, 0.0, 1.0), repeat=3) if any(v)])


def _automorphisms(lattice: NDArray[Any], tolerance: float) -> NDArray[Any]:
    """Return the proper basis changes M (m, 3, 3) that leave the metric as it is, M G Mᵀ ≈ G.

    Those of a Niggli-reduced lattice have entries in {-1, 0, 1}.
    """
    metric = lattice @ lattice.T
    diagonal = np.diag(metric)
    # A row of M is a lattice vector as long as the basis vector that it replaces.
    lengths = ((_VECTORS @ metric) * _VECTORS).sum(axis=1)
    rows = [np.flatnonzero(np.abs(lengths / d - 1) < tolerance) for d in diagonal]
    a, b, c = (grid.ravel() for grid in np.meshgrid(*rows, indexing="ij"))
    changes = np.stack([_VECTORS[a], _VECTORS[b], _VECTORS[c]], axis=1)
    scale = np.sqrt(np.outer(diagonal, diagonal))
    drift = np.abs(changes @ metric @ changes.transpose(0, 2, 1) - metric) / scale
    proper = np.abs(np.linalg.det(changes) - 1) < 1e-6
    steady: NDArray[Any] = changes[proper & (drift.max(axis=(1, 2)) < tolerance)]
    return steady


def reduced_settings(lattice: NDArray[Any], tolerance: float = _METRIC_TOLERANCE) -> NDArray[Any]:
    """Return the basis changes (m, 3, 3), whole numbers, from a primitive lattice (row vectors, Å)
    to its reduced settings: the canonical form of a crystal with this lattice has one of them.

    `tolerance` is how much their metrics may differ, relative to the largest component.
    """
    reduced, _ = _niggli(lattice, np.zeros((0, 3)))
    change = np.rint(reduced @ np.linalg.inv(lattice))
    settings: NDArray[Any] = _automorphisms(reduced, tolerance) @ change
    return settings


def canonical_setting(
    lattice: NDArray[Any], coords: NDArray[Any], numbers: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return lattice (3, 3), coordinates (n, 3) and order of atoms (n,) of a primitive, reduced
    cell: what is left to choose when other elements take the places of a canonical crystal's."""
    changes = _automorphisms(lattice, _METRIC_TOLERANCE)
    rank = electronegativity_rank()[numbers]
    species, counts = np.unique(rank, return_counts=True)
    origin_atoms = np.flatnonzero(rank == species[np.argmin(counts)])

    # x' = (x - origin) M⁻¹ for every origin and basis change: (origins * changes, n, 3).
    shifted = coords[None] - coords[origin_atoms][:, None]
    settings = shifted[:, None] @ np.linalg.inv(changes)[None]
    settings = settings.reshape(-1, len(numbers), 3)

    bins = np.rint(settings * _BINS).astype(np.int64) % _BINS
    code = ((rank * _BINS + bins[..., 0]) * _BINS + bins[..., 1]) * _BINS + bins[..., 2]
    keys = np.sort(code, axis=1)
    best = np.lexsort(keys.T[::-1])[0]
    tied = np.flatnonzero((keys == keys[best]).all(axis=1))
    if len(tied) > 1:
        cells = changes[tied % len(changes)] @ lattice
        best = tied[np.argmin(_tie_break(settings[tied], code[tied], cells))]

    order = np.argsort(code[best], kind="stable")
    chosen = settings[best][order] % 1.0
    chosen[chosen > 1 - 1e-9] = 0.0
    return changes[best % len(changes)] @ lattice, chosen, order


def _tie_break(settings: NDArray[Any], code: NDArray[Any], cells: NDArray[Any]) -> NDArray[Any]:
    """Return a number for each of m settings (m, n, 3) alike on the grid; the smallest is chosen.

    It is a weighted sum, with weights in no simple proportion, of the cell's metric and of where
    the atoms lie within their bins. Settings with the same sum are the same, by symmetry.
    """
    order = np.argsort(code, axis=1, kind="stable")
    scaled = np.take_along_axis(settings, order[..., None], axis=1) * _BINS
    inside = (scaled - np.rint(scaled)).reshape(len(settings), -1)
    metric = cells @ cells.transpose(0, 2, 1)
    relative = metric[:, *_UPPER] / np.trace(metric[0])
    weights = 1 / (np.arange(inside.shape[1]) + np.sqrt(2))
    score: NDArray[Any] = relative @ _METRIC_WEIGHTS + inside @ weights
    return score
