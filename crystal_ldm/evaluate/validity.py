"""Validity of structures and of compositions.

Structure (CDVAE, Xie et al. 2022, section 5.2): no two atoms closer than 0.5 Å, periodic images of
an atom itself included, and a cell that is not collapsed; here at least 0.1 Å³ for each atom. The
field compares itself by that; a person wants neighbours that are as far apart as those of their
elements are in known crystals, too (`crystals.geometry.distances`); only such are `valid`.

Composition (the same paper, after SMACT, Davies et al. 2019): some choice of oxidation states is
charge neutral and gives the anions the higher Pauling electronegativity. By the same convention a
composition of one element, and one of metals only (an alloy), is valid without a charge balance. It
is a rule of thumb: about one in ten real crystals fails it, so its value for the reference set is
stated beside every generated one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial

from crystal_ldm.crystals.cell import FormulaKey
from crystal_ldm.evaluate.thresholds import Thresholds
from crystal_ldm.parallel.executor import Executor


@lru_cache(maxsize=65536)
def composition_validity(key: FormulaKey, limits: Thresholds) -> tuple[bool, str]:
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
    if limits.alloys_valid and all(symbol in metals for symbol in symbols):
        return True, "alloy"

    def neutral(pauling: bool) -> bool:
        try:
            return bool(
                smact_validity(
                    Composition(symbols),
                    use_pauling_test=pauling,
                    include_alloys=False,
                    oxidation_states_set=limits.oxidation_states,
                )
            )
        except KeyError:  # SMACT lacks some of the heaviest elements
            return False

    if neutral(limits.use_pauling):
        return True, "charge balanced"
    if limits.use_pauling and neutral(False):
        return False, "against electronegativity"
    return False, "not charge balanced"


def compositions_validity(
    keys: Iterable[FormulaKey], limits: Thresholds, executor: Executor
) -> dict[FormulaKey, tuple[bool, str]]:
    """Check each composition once; one that takes too long is not valid, with the reason."""
    distinct = list(dict.fromkeys(keys))
    function = partial(composition_validity, limits=limits)
    return {
        key: outcome.value if outcome.error is None else (False, outcome.error)
        for key, outcome in zip(distinct, executor.map(function, distinct, chunk=64), strict=True)
    }
