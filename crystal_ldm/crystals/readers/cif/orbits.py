"""From sites and symmetry operations to all atoms of the cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.readers.cif.sites import Site
from crystal_ldm.crystals.symmetry.settings import Operations
from crystal_ldm.errors import DataError

SAME_PLACE = 1e-4
"""Two atoms are listed twice if their coordinates differ by less (as in pymatgen's parser)."""

_SURELY_ONE = 0.1
_MAYBE_ONE = 0.5
"""Images of an atom closer than the first (Å) are one atom. Between both they are, if the digits
that the file gives explain the gap; two atoms cannot be that close."""


def expand(
    sites: Sequence[Site], ops: Operations, lattice: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return coordinates (n, 3) in [0, 1) and, for each, the position of its site (n,).

    A site near a special position is moved onto it (the mean of its nearly equal images), so that
    1/3 written 0.333 gives one atom and not three. A site that is an image of an earlier one has
    no atoms: some programs list all atoms of the cell beside its symmetry.

    Raises:
        DataError: if the images of a site do not fit, or two sites are one place.
    """
    coords: list[NDArray[np.float64]] = []
    owners: list[int] = []
    for i, site in enumerate(sites):
        images = _orbit(site, ops, lattice) if len(ops) > 1 else site.coords[None] % 1.0
        if len(ops) > 1 and _is_image(images[0], site, coords, owners, sites):
            continue
        coords.append(images)
        owners += [i] * len(images)
    everything, owner = np.concatenate(coords), np.array(owners)
    _check_places(everything, owner, sites)
    return everything, owner


def _orbit(site: Site, ops: Operations, lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    images = site.coords @ ops.rotations.transpose(0, 2, 1) + ops.shifts
    gaps = images - site.coords
    gaps -= np.round(gaps)
    distances = np.linalg.norm(gaps @ lattice, axis=1)
    rounding = 3 * 10.0 ** -min(site.decimals, 8)
    explained = (np.abs(gaps).max(axis=1) <= rounding) & (site.decimals >= 2)
    stays = (distances < _SURELY_ONE) | (explained & (distances < _MAYBE_ONE))
    count, order = len(ops), int(stays.sum())
    if ((distances < _MAYBE_ONE) & ~stays).any() or count % order:
        raise DataError(
            f"Images of the atom {site.label} by symmetry are {distances[~stays].min():.2f} Å "
            "apart: its coordinates, the space group or its setting are not right."
        )
    ideal = site.coords + gaps[stays].mean(axis=0)
    images = (ideal @ ops.rotations.transpose(0, 2, 1) + ops.shifts) % 1.0
    images[images > 1 - 1e-9] = 0.0
    # Images by operations that leave the site where it is are now equal but for rounding.
    kept: list[int] = []
    left = np.ones(count, dtype=bool)
    while left.any():
        first = int(np.argmax(left))
        apart = images - images[first]
        apart -= np.round(apart)
        equal = left & (np.linalg.norm(apart @ lattice, axis=1) < 1e-3)
        left &= ~equal
        if equal.sum() != order:
            raise DataError(
                f"The atom {site.label} lies too near a special position to tell its images apart; "
                "give its coordinates with more digits."
            )
        kept.append(first)
    return np.asarray(images[kept], dtype=np.float64)


def _is_image(
    place: NDArray[np.float64],
    site: Site,
    coords: Sequence[NDArray[np.float64]],
    owners: Sequence[int],
    sites: Sequence[Site],
) -> bool:
    """Whether a site is an image of an earlier one of its element that is listed elsewhere."""
    if not coords:
        return False
    tolerance = min(max(SAME_PLACE, 2 * 10.0 ** -min(site.decimals, 8)), 0.02)
    apart = np.concatenate(coords) - place
    apart -= np.round(apart)
    near = {owners[i] for i in np.flatnonzero(np.abs(apart).max(axis=1) < tolerance)}
    for i in near:
        listed = sites[i].coords - site.coords
        listed -= np.round(listed)
        if sites[i].number == site.number and np.abs(listed).max() >= tolerance:
            return True
    return False


def _check_places(
    coords: NDArray[np.float64], owner: NDArray[np.int64], sites: Sequence[Site]
) -> None:
    from scipy.spatial import cKDTree

    wrapped = coords % 1.0
    wrapped[wrapped >= 1.0] = 0.0
    pairs = cKDTree(wrapped, boxsize=1.0).query_pairs(SAME_PLACE, p=np.inf)
    if pairs:
        first, second = min(pairs)
        names = f"{sites[owner[first]].label} and {sites[owner[second]].label}"
        raise DataError(
            f"The atoms {names} are at the same place: an atom is listed twice, or a site is "
            "shared (disordered)."
        )
