"""What the band gap predictors look at: neighbours, elements, composition, packing, bonds."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import covalent_radii, electronegativities
from crystal_ldm.evaluate.coverage import composition_fingerprint
from crystal_ldm.evaluate.description import density

NUM_PROPERTIES = 4 + 18 + 7 + 4
_UNKNOWN_EV = 7.5
_UNKNOWN_ELECTRONEGATIVITY = 1.7


def _electronegativity() -> NDArray[np.float64]:
    return np.nan_to_num(electronegativities(), nan=_UNKNOWN_ELECTRONEGATIVITY)


def element_properties() -> NDArray[np.float32]:
    """Return properties by atomic number, (119, 33).

    Covalent radius in Å; electronegativity, ionisation energy and electron affinity as pymatgen
    has them, roughly from -2 to 2; group (18), row (7) and block (4) as ones among zeros. From
    104 on only radius and usual values.
    """
    from pymatgen.core import Element

    electronegativity, radii = _electronegativity(), covalent_radii()
    ionisation = np.full(119, _UNKNOWN_EV)
    affinity = np.zeros(119)
    classes = np.zeros((119, 18 + 7 + 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for z in range(1, 104):
            element = Element.from_Z(z)
            ionisation[z] = element.ionization_energy or _UNKNOWN_EV
            affinity[z] = element.electron_affinity or 0.0
            places = (element.group - 1, 17 + element.row, 25 + "spdf".index(element.block))
            classes[z, list(places)] = 1
    scaled = [
        radii,
        (electronegativity - _UNKNOWN_ELECTRONEGATIVITY) / 0.6,
        (ionisation - _UNKNOWN_EV) / 2.5,
        affinity,
    ]
    return np.concatenate([np.stack(scaled, axis=1), classes], axis=1).astype(np.float32)


NEIGHBOURS = 12
RADIUS_A = 8.0
_CROWDED_A3 = 2.0


class CrystalGraph(NamedTuple):
    """A crystal as its atoms and their nearest neighbours.

    Attributes:
        numbers: atomic numbers, (N,).
        neighbours: atoms that are neighbours, (N, M), the nearest first.
        distances: to them in Å, (N, M).
        volume: Å³ for each atom.
    """

    numbers: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    distances: NDArray[np.float32]
    volume: float


def nearest_neighbours(
    crystal: Cell, count: int = NEIGHBOURS
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest neighbours of each atom within 8 Å, periodic images included.

    Returns:
        Indices (N, M) and distances in Å (N, M), the nearest first; where there are too few, atom 0
        at 9 Å, as in CGCNN.

    Raises:
        ValueError: if the atoms are so crowded that the search would need unbounded memory.
    """
    n = len(crystal.numbers)
    if crystal.volume / n < _CROWDED_A3:
        raise ValueError(f"less than {_CROWDED_A3:g} Å³ for each atom")
    centres, others, _, distances = crystal.to_structure().get_neighbor_list(RADIUS_A)
    indices = np.zeros((n, count), dtype=np.int64)
    lengths = np.full((n, count), RADIUS_A + 1.0)
    order = np.lexsort((distances, centres))
    centres, others, distances = centres[order], others[order], distances[order]
    starts = np.searchsorted(centres, np.arange(n + 1))
    for atom in range(n):
        stop = min(starts[atom + 1], starts[atom] + count)
        nearest = slice(starts[atom], stop)
        indices[atom, : stop - starts[atom]] = others[nearest]
        lengths[atom, : stop - starts[atom]] = distances[nearest]
    return indices, lengths


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
    electronegativity, radii = _electronegativity(), covalent_radii()
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
