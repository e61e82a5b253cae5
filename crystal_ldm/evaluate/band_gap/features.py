"""What the band gap predictors look at: neighbours, elements, composition, packing, bonds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import covalent_radii
from crystal_ldm.crystals.geometry.neighbours import NEIGHBOURS, nearest_neighbours
from crystal_ldm.evaluate.coverage import composition_fingerprint
from crystal_ldm.evaluate.description import density
from crystal_ldm.nn.crystal_graph import CrystalGraph, usual_electronegativities

NUM_FEATURES = 132 + 119 + 2 + NEIGHBOURS + 28
_LOOK_AT = 32
_GRAPH_NEIGHBOURS = 16


def band_gap_inputs(crystal: Cell) -> tuple[NDArray[np.float32], CrystalGraph]:
    """Return the features of a crystal, (293,), and its graph with 16 neighbours of each atom.

    Raises:
        ValueError: if the atoms are too crowded to have neighbours.
    """
    # More neighbours than can be bonded: which of several at the same distance comes last must not
    # matter.
    indices, distances = nearest_neighbours(crystal, _LOOK_AT)
    graph = CrystalGraph(
        crystal.numbers,
        indices[:, :_GRAPH_NEIGHBOURS],
        distances[:, :_GRAPH_NEIGHBOURS].astype(np.float32),
        crystal.volume / len(crystal.numbers),
    )
    return _features(crystal, indices, distances), graph


def _features(
    crystal: Cell, indices: NDArray[np.int64], distances: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the features, (293,), given neighbours and distances in Å, both (N, 32).

    Composition statistics (132), element fractions (119), volume and density (2), mean distances to
    the 1st to 12th neighbour in units of (volume / atom)^(1/3) (12), and mean, spread, minimum and
    maximum over atoms of seven quantities of the bonds (28): number of bonds, their length relative
    to the sum of covalent radii, difference in electronegativity, its absolute value, share of
    bonds to the same element, length of the shortest, and electronegativity of the neighbours.
    """
    numbers = crystal.numbers
    n = len(numbers)
    electronegativity, radii = usual_electronegativities(), covalent_radii()
    ratio = distances / (radii[numbers][:, None] + radii[numbers[indices]])
    # A bond fades out around 1.25 times the sum of the radii.
    weight = 1.0 / (1.0 + np.exp((ratio - 1.25) / 0.05)) + 1e-9
    share = weight / weight.sum(axis=1, keepdims=True)
    difference = electronegativity[numbers[indices]] - electronegativity[numbers][:, None]
    quantities = np.stack(
        [
            weight.sum(axis=1),
            (share * ratio).sum(axis=1),
            (share * difference).sum(axis=1),
            (share * np.abs(difference)).sum(axis=1),
            (share * (numbers[indices] == numbers[:, None])).sum(axis=1),
            ratio.min(axis=1),
            (share * electronegativity[numbers[indices]]).sum(axis=1),
        ],
        axis=1,
    )
    fractions = np.bincount(numbers, minlength=119) / n
    scale = (crystal.volume / n) ** (1 / 3)
    features = np.concatenate(
        [
            np.nan_to_num(composition_fingerprint(crystal.formula_key)),
            fractions,
            [crystal.volume / n, density(crystal)],
            distances[:, :NEIGHBOURS].mean(axis=0) / scale,
            quantities.mean(axis=0),
            quantities.std(axis=0),
            quantities.min(axis=0),
            quantities.max(axis=0),
        ]
    )
    return features.astype(np.float32)
