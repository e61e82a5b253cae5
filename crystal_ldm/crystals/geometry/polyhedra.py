"""Coordination polyhedra: a cation and the anions that are bonded to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.elements import electronegativities, symbols
from crystal_ldm.crystals.geometry.bonds import Bond, site_symbols

if TYPE_CHECKING:
    from pymatgen.core import Structure

FEWEST = 4
"""Neighbours of the smallest polyhedron."""
USUAL = 8
"""Neighbours of the largest polyhedron that is drawn where there are smaller ones."""
FLAT = 0.1
"""Å³; neighbours that span less lie in a plane."""

Corner = tuple[int, tuple[int, int, int]]
"""A site, and the cell in which it lies."""


@dataclass(frozen=True)
class Polyhedron:
    """The neighbours of one cation.

    Attributes:
        centre: the cation's site.
        corners: its neighbours, seen from the cation in the home cell (coordinates in [0, 1)).
        faces: (T, 3) numbers of corners, triangles of the convex hull, seen from outside
            counterclockwise.
    """

    centre: int
    corners: tuple[Corner, ...]
    faces: NDArray[np.int64]


def coordination_polyhedra(structure: Structure, bonds: Sequence[Bond]) -> list[Polyhedron]:
    """Return the polyhedra of a crystal whose bonds are known.

    The centre is less electronegative (Pauling) than each neighbour. Where some have at most 8
    neighbours, larger ones are left out: the cuboctahedra of A in ABO3 would hide the rest.
    """
    numbers = {symbol: z for z, symbol in enumerate(symbols())}
    electronegativity = np.nan_to_num(electronegativities())  # noble gases have none
    sites = electronegativity[[numbers.get(symbol, 0) for symbol in site_symbols(structure)]]
    frac = np.asarray(structure.frac_coords, dtype=float)
    frac = frac - np.floor(frac)
    found = []
    for centre, own in enumerate(sites):
        corners = neighbours(bonds, centre)
        if len(corners) < FEWEST:
            continue
        if any(sites[site] <= own for site, _ in corners):
            continue
        points = np.array([frac[site] + image for site, image in corners])
        faces = _hull(points @ np.asarray(structure.lattice.matrix))
        if faces is not None:
            found.append(Polyhedron(centre, corners, faces))
    small = [one for one in found if len(one.corners) <= USUAL]
    return small or found


def neighbours(bonds: Sequence[Bond], site: int) -> tuple[Corner, ...]:
    """Return what is bonded to a site of the home cell."""
    corners: list[Corner] = []
    for bond in bonds:
        if bond.start == site:
            corners.append((bond.end, bond.image))
        if bond.end == site:
            a, b, c = bond.image
            corners.append((bond.start, (-a, -b, -c)))
    return tuple(corners)


def _hull(points: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Return the triangles of a convex hull, turned outwards; None for points in a plane."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(points)
    except QhullError:
        return None
    if hull.volume < FLAT:
        return None
    faces = np.array(hull.simplices, dtype=np.int64)
    a, b, c = (points[faces[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    inwards = np.einsum("ij,ij->i", normals, hull.equations[:, :3]) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    return faces
