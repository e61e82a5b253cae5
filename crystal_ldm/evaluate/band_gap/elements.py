"""What the band gap predictors know of elements."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

NUM_PROPERTIES = 4 + 18 + 7 + 4
_UNKNOWN_EV = 7.5
_UNKNOWN_ELECTRONEGATIVITY = 1.7


@lru_cache(maxsize=1)
def electronegativity_and_radius() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Pauling electronegativity and covalent radius (Å) by atomic number."""
    from ase.data import covalent_radii
    from pymatgen.core import Element

    electronegativity = np.full(119, _UNKNOWN_ELECTRONEGATIVITY)
    with warnings.catch_warnings():  # noble gases have none
        warnings.simplefilter("ignore")
        for z in range(1, 104):
            value = float(Element.from_Z(z).X)
            if np.isfinite(value):
                electronegativity[z] = value
    return electronegativity, np.asarray(covalent_radii, dtype=np.float64)


def element_properties() -> NDArray[np.float32]:
    """Return properties by atomic number, (119, 33).

    Covalent radius in Å; electronegativity, ionisation energy and electron affinity as pymatgen
    has them, roughly from -2 to 2; group (18), row (7) and block (4) as ones among zeros. From
    104 on only radius and usual values.
    """
    from pymatgen.core import Element

    electronegativity, radii = electronegativity_and_radius()
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
