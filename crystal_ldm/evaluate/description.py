"""Everything that is computed for one crystal on its own: what a worker process runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import covalent_radii
from crystal_ldm.crystals.geometry.bonds import CROWDED
from crystal_ldm.crystals.geometry.distances import closest_contact, pair_distances
from crystal_ldm.crystals.same_crystal import reduced_cell
from crystal_ldm.crystals.symmetry.space_groups import space_group
from crystal_ldm.errors import describe_error
from crystal_ldm.evaluate.thresholds import Thresholds
from crystal_ldm.parallel.executor import Executor

_PACKING_NEIGHBOURS = 16


@dataclass
class Description:
    """Numbers of one crystal; nan or None where one could not be computed (see `error`).

    Attributes:
        density: g/cm³.
        volume_per_atom: Å³.
        min_distance: shortest distance between two atoms, Å.
        contact: the same in units of the usual distance of the two elements.
        coordination: mean number of neighbours of an atom.
        space_groups: one number for each tolerance asked for.
        reduced: primitive Niggli cell, for comparisons.
        packing: mean distances of the 1st to 16th neighbour in units of (volume / atom)^(1/3).
        error: what failed.
    """

    density: float = math.nan
    volume_per_atom: float = math.nan
    min_distance: float = math.nan
    contact: float = math.nan
    coordination: float = math.nan
    space_groups: tuple[int | None, ...] = ()
    reduced: Cell | None = None
    packing: NDArray[np.float64] | None = None
    error: str | None = None


def describe_crystal(
    crystal: Cell,
    limits: Thresholds,
    *,
    distances: bool = True,
    symmetry: bool = False,
    comparison: bool = False,
) -> Description:
    """Return the numbers of one crystal.

    Args:
        limits: tolerances of the space groups, and how near a neighbour is.
        distances: whether to compute the shortest one and the closest contact.
        symmetry: whether to find the space groups.
        comparison: whether to compute the reduced cell and the packing.
    """
    result = Description(density=density(crystal), volume_per_atom=crystal.volume / len(crystal))
    if distances:
        lengths = pair_distances(crystal)
        result.min_distance = float(lengths.min())
        result.contact = closest_contact(crystal, lengths)
    if result.volume_per_atom >= CROWDED:
        result.coordination = mean_coordination(crystal, limits.bond_factor)
    if symmetry:
        result.space_groups = tuple(
            space_group(crystal, symprec, limits.angle_tolerance) for symprec in limits.symprec
        )
    if comparison:
        try:
            result.reduced, result.packing = comparison_form(crystal)
        except Exception as error:  # pymatgen finds no Niggli cell of some
            result.error = describe_error(error)
    return result


def comparison_form(crystal: Cell) -> tuple[Cell, NDArray[np.float64] | None]:
    """Return the reduced cell and, unless atoms are too crowded for it, the packing."""
    reduced = reduced_cell(crystal)
    if crystal.volume / len(crystal.numbers) < CROWDED:
        return reduced, None
    return reduced, packing(reduced)


def density(crystal: Cell) -> float:
    """Return the density in g/cm³."""
    from ase.data import atomic_masses

    grams_per_dalton, cm3_per_a3 = 1.66053906660e-24, 1e-24
    mass = float(atomic_masses[crystal.numbers].sum())
    return mass * grams_per_dalton / (crystal.volume * cm3_per_a3)


def mean_coordination(crystal: Cell, bond_factor: float) -> float:
    """Return the mean number of neighbours of an atom.

    Two atoms are neighbours within `bond_factor` times the sum of their covalent radii: the same
    rule for metals and salts, and quick.
    """
    radii = covalent_radii()[crystal.numbers]
    cutoff = 2 * bond_factor * float(radii.max())
    centres, others, _, distances = crystal.to_structure().get_neighbor_list(cutoff)
    near = distances <= bond_factor * (radii[centres] + radii[others])
    return float(near.sum()) / len(radii)


def packing(crystal: Cell) -> NDArray[np.float64]:
    """Return the mean distances of an atom's 1st to 16th neighbour, in (volume / atom)^(1/3)."""
    scale = (crystal.volume / len(crystal.numbers)) ** (1 / 3)
    radius = 2.2 * scale
    centres, _, _, distances = crystal.to_structure().get_neighbor_list(radius)
    rows = np.full((len(crystal.numbers), _PACKING_NEIGHBOURS), radius)
    for atom in range(len(rows)):
        near = np.sort(distances[centres == atom])[:_PACKING_NEIGHBOURS]
        rows[atom, : len(near)] = near
    mean: NDArray[np.float64] = rows.mean(axis=0) / scale
    return mean


def describe_all(
    crystals: Sequence[Cell | None],
    limits: Thresholds,
    executor: Executor,
    label: str = "crystals",
    **wanted: Any,
) -> list[Description | None]:
    """Describe many crystals as `describe_crystal` does; None for those that are None.

    Of one that hangs or crashes its worker nothing is known but that.
    """
    result: list[Description | None] = [None] * len(crystals)
    function = partial(describe_crystal, limits=limits, **wanted)
    for outcome in executor.imap(function, crystals, label=label):
        nothing = Description(space_groups=(None,) * len(limits.symprec), error=outcome.error)
        result[outcome.index] = outcome.value if outcome.error is None else nothing
    return result
