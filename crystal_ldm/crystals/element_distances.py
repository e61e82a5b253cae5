"""How unlike two elements are as parts of a crystal."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals import MAX_Z
from crystal_ldm.crystals.elements import electronegativities


@lru_cache(maxsize=1)
def element_distances() -> NDArray[np.float64]:
    """Return the distance of each two elements by atomic number, (119, 119); 0 on the diagonal.

    Euclidean, of Pauling electronegativity, atomic radius, group and Pettifor's Mendeleev number (A
    chemical scale for crystal-structure maps, Solid State Commun. 51, 31 (1984)), each in units of
    its standard deviation over the elements.
    """
    features = np.array([_features(z) for z in range(MAX_Z + 1)])
    features = (features - features[1:].mean(axis=0)) / features[1:].std(axis=0)
    distances: NDArray[np.float64] = np.linalg.norm(features[:, None] - features[None], axis=-1)
    return distances


@lru_cache(maxsize=1)
def atomic_radii() -> NDArray[np.float64]:
    """Return atomic radii by atomic number, (119,), Å.

    Slater's (J. Chem. Phys. 41, 3199 (1964)); where he has none, calculated ones (Clementi et al.,
    J. Chem. Phys. 47, 1300 (1967)), for the heaviest elements 1.5.
    """
    return np.array([_features(z)[1] for z in range(MAX_Z + 1)])


@lru_cache(maxsize=MAX_Z + 1)
def _features(z: int) -> tuple[float, ...]:
    """Return electronegativity, radius in Å, group and Mendeleev number; of noble gases and the
    heaviest elements, which lack some of them, something in the middle."""
    from pymatgen.core import Element

    if z == 0:
        return (0.0, 1.5, 0.0, 0.0)
    element = Element.from_Z(z)
    with warnings.catch_warnings():  # what nobody has measured is nan, with a warning
        warnings.simplefilter("ignore")
        radius = float(element.atomic_radius or element.atomic_radius_calculated or 1.5)
        place = float(element.mendeleev_no or 50.0)
    electronegativity = float(np.nan_to_num(electronegativities()[z], nan=2.5))
    group = 3 if element.is_lanthanoid or element.is_actinoid else element.group
    return (electronegativity, radius, group, place)
