"""A crystal moved onto a space group that it nearly has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.symmetry.space_groups import space_group, symmetry_dataset

TOLERANCES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
"""Distances within which symmetry is looked for, Å; the last is the limit."""
STRICT = 0.01
"""Tolerance with which a symmetrised crystal has to have its group, Å."""


def onto_space_group(crystal: Cell, number: int) -> tuple[Cell, float] | None:
    """Return a crystal moved onto a space group, in the same cell, and its largest displacement, Å.

    Symmetry is looked for with a tolerance that rises until spglib finds the group. Then each
    atom goes to the mean of what the operations make of the atoms that they exchange, and the
    metric tensor to its mean over their rotations (the projection onto the invariant part of a
    representation: Serre, Linear Representations of Finite Groups, 1977, section 2.6). The result
    has the group within `STRICT`; else, and where none of the `TOLERANCES` shows it, None.

    Args:
        crystal: any cell.
        number: of the group, 1 to 230.
    """
    for tolerance in TOLERANCES:
        dataset = symmetry_dataset(crystal, tolerance, angle_tolerance=-1.0)
        if dataset is None or dataset.number != number:
            continue
        moved = _averaged(crystal, np.asarray(dataset.rotations), np.asarray(dataset.translations))
        if moved is not None and space_group(moved[0], STRICT) == number:
            return moved
    return None


def _averaged(
    crystal: Cell, rotations: NDArray[np.int64], translations: NDArray[np.float64]
) -> tuple[Cell, float] | None:
    """Return the mean over operations, and the largest displacement; None if atoms do not match."""
    coords, numbers = np.asarray(crystal.frac_coords), np.asarray(crystal.numbers)
    metric = np.asarray(crystal.lattice) @ np.asarray(crystal.lattice).T
    total = np.zeros_like(coords)
    for rotation, translation in zip(rotations, translations, strict=True):
        images = coords @ rotation.T + translation
        # difference[i, j]: from atom i to the image of atom j
        difference = images[None] - coords[:, None]
        difference -= np.round(difference)
        squares = np.einsum("ijk,kl,ijl->ij", difference, metric, difference)
        squares[numbers[:, None] != numbers[None]] = np.inf
        source = squares.argmin(axis=1)
        if len(np.unique(source)) < len(source):
            return None
        total += difference[np.arange(len(source)), source]
    shift = total / len(rotations)
    # x -> R x keeps lengths of the new cell: its metric is the mean of R^T M R.
    mean = np.einsum("gji,jk,gkl->il", rotations, metric, rotations) / len(rotations)
    lattice = _lattice_of(mean, np.asarray(crystal.lattice))
    largest = float(np.sqrt(np.einsum("ik,kl,il->i", shift, mean, shift).max()))
    return Cell.from_arrays(numbers, coords + shift, lattice), largest


def _lattice_of(metric: NDArray[np.float64], like: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lattice (3, 3) with a metric tensor that is least turned against another.

    With L the other's rows, L' = L U for the symmetric U with U L^T L U = the new metric in
    Cartesian axes: its strain has no rotation.
    """
    inverse = np.linalg.inv(like)
    stretch = inverse @ metric @ inverse.T
    values, vectors = np.linalg.eigh(stretch)
    lattice: NDArray[np.float64] = like @ (vectors * np.sqrt(values)) @ vectors.T
    return lattice
