"""Validity of structures and of compositions.

Structure (CDVAE, Xie et al. 2022, section 5.2): no two atoms closer than 0.5 Å, periodic images of
an atom itself included, and a cell that is not collapsed; here at least 0.1 Å³ for each atom.

Composition (the same paper, after SMACT, Davies et al. 2019): some choice of oxidation states is
charge neutral and gives the anions the higher Pauling electronegativity. By the same convention a
composition of one element, and one of metals only (an alloy), is valid without a charge balance. It
is a rule of thumb: about one in ten real crystals fails it, so its value for the reference set is
stated beside every generated one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from crystal_ldm.crystals.packed import FormulaKey, PackedCrystal
from crystal_ldm.parallel.executor import Executor

_IMAGES = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.float64)
_OTHER_IMAGES = _IMAGES[np.any(_IMAGES != 0, axis=1)]


def shortest_distance(crystal: PackedCrystal) -> float:
    """Return the shortest distance between two atoms in Å, periodic images included.

    In a Minkowski-reduced cell the images -1, 0, 1 hold the nearest one of every atom (Nguyen &
    Stehlé 2009; the reduction is ASE's), so that the result is exact for any cell.

    Raises:
        ValueError: if the cell has no volume.
    """
    from ase.geometry import minkowski_reduce

    if crystal.volume < 1e-9:
        raise ValueError("the cell has no volume")
    cell, transformation = minkowski_reduce(crystal.lattice)
    frac = crystal.frac_coords @ np.linalg.inv(transformation)
    shortest = float(np.linalg.norm(_OTHER_IMAGES @ cell, axis=1).min())
    first, second = np.triu_indices(len(frac), k=1)
    if len(first):
        difference = frac[first] - frac[second]
        difference -= np.round(difference)
        vectors = (difference[:, None, :] + _IMAGES[None]) @ cell
        shortest = min(shortest, float(np.sqrt((vectors**2).sum(axis=-1).min())))
    return shortest


@dataclass(frozen=True)
class CompositionRules:
    """How compositions are judged.

    Attributes:
        oxidation_states: SMACT's list of oxidation states; "smact14" is the one behind the numbers
            published since CDVAE, "icsd24" a newer and longer one.
        use_pauling: also ask for the electronegativity order.
        alloys_valid: accept compositions of metals only without a charge balance.
    """

    oxidation_states: str = "smact14"
    use_pauling: bool = True
    alloys_valid: bool = True


@lru_cache(maxsize=65536)
def composition_validity(key: FormulaKey, rules: CompositionRules) -> tuple[bool, str]:
    """Return whether a reduced composition is valid, and by which rule.

    The second value is "one element", "alloy", "charge balanced", "not charge balanced" (also when
    an element has no known oxidation state), or "against electronegativity" (neutral only when a
    less electronegative element is the anion).
    """
    from pymatgen.core import Composition, Element
    from smact import metals
    from smact.screening import smact_validity

    symbols = {Element.from_Z(z).symbol: count for z, count in key}
    if len(symbols) == 1:
        return True, "one element"
    if rules.alloys_valid and all(symbol in metals for symbol in symbols):
        return True, "alloy"

    def neutral(pauling: bool) -> bool:
        return bool(
            smact_validity(
                Composition(symbols),
                use_pauling_test=pauling,
                include_alloys=False,
                oxidation_states_set=rules.oxidation_states,
            )
        )

    if neutral(rules.use_pauling):
        return True, "charge balanced"
    if rules.use_pauling and neutral(False):
        return False, "against electronegativity"
    return False, "not charge balanced"


def compositions_validity(
    keys: Iterable[FormulaKey], rules: CompositionRules, executor: Executor
) -> dict[FormulaKey, tuple[bool, str]]:
    """Judge each composition once; one that takes too long is not valid, with the reason."""
    distinct = list(dict.fromkeys(keys))
    function = partial(composition_validity, rules=rules)
    return {
        key: outcome.value if outcome.error is None else (False, outcome.error)
        for key, outcome in zip(distinct, executor.map(function, distinct, chunk=64), strict=True)
    }
