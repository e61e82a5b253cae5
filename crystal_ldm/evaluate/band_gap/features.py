"""What the project's own band gap predictor looks at: composition, packing, bonds."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.evaluate.band_gap.graphs import NEIGHBOURS, nearest_neighbours
from crystal_ldm.evaluate.description import density
from crystal_ldm.evaluate.distribution.fingerprints import composition_fingerprint
from crystal_ldm.evaluate.workers.packed import PackedCrystal

NUM_FEATURES = 132 + 119 + 2 + NEIGHBOURS + 28
_LOOK_AT = 32


@lru_cache(maxsize=1)
def _elements() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Pauling electronegativity and covalent radius (Å) by atomic number."""
    import warnings

    from ase.data import covalent_radii
    from pymatgen.core import Element

    electronegativity = np.full(119, 1.7)
    with warnings.catch_warnings():  # noble gases have none
        warnings.simplefilter("ignore")
        for z in range(1, 104):
            value = float(Element.from_Z(z).X)
            electronegativity[z] = value if np.isfinite(value) else 1.7
    return electronegativity, np.asarray(covalent_radii, dtype=np.float64)


def band_gap_features(crystal: PackedCrystal) -> NDArray[np.float32]:
    """Return the features of a crystal, (293,).

    Composition statistics (132), element fractions (119), volume and density (2), mean distances to
    the 1st to 12th neighbour in units of (volume / atom)^(1/3) (12), and mean, spread, minimum and
    maximum over atoms of seven quantities of the bonds (28): number of bonds, their length relative
    to the sum of covalent radii, difference in electronegativity, its absolute value, share of
    bonds to the same element, length of the shortest, and electronegativity of the neighbours.

    Raises:
        ValueError: if the atoms are too crowded to have neighbours.
    """
    numbers = crystal.atomic_numbers.astype(np.int64)
    n = len(numbers)
    electronegativity, radii = _elements()
    # More neighbours than can be bonded: which of several at the same distance comes last must not
    # matter.
    indices, distances = nearest_neighbours(crystal, _LOOK_AT)
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
