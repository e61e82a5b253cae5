"""Elements: symbols, atomic numbers, what is known of each, and what a request allows of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.errors import FormulaError, suggest

MAX_Z = 118
"""Largest atomic number. Embedding tables have MAX_Z + 1 rows; row 0 is an open (unknown) atom."""


@lru_cache(maxsize=1)
def symbols() -> tuple[str, ...]:
    """Return the element symbols by atomic number; index 0 is `?`, an open atom."""
    from pymatgen.core import Element

    return ("?", *(Element.from_Z(z).symbol for z in range(1, MAX_Z + 1)))


def atomic_number(symbol: str) -> int:
    """Return the atomic number of `symbol`, 0 for `?`.

    Raises:
        FormulaError: if there is no such element.
    """
    if symbol not in symbols():
        raise FormulaError(f"'{symbol}' is not an element symbol.{suggest(symbol, symbols())}")
    return symbols().index(symbol)


def element_set(names: Iterable[str] | str | None) -> tuple[str, ...]:
    """Return `names` (a list, or text: `"O S, Se"`, `"O-S"`) as sorted, checked symbols."""
    if names is None:
        return ()
    if isinstance(names, str):
        names = names.replace(",", " ").replace("-", " ").split()
    return tuple(sorted({symbols()[atomic_number(str(name).strip())] for name in names}))


@lru_cache(maxsize=1)
def electronegativities() -> NDArray[np.float64]:
    """Return Pauling electronegativities by atomic number, (119,); nan where there is none."""
    from pymatgen.core import Element

    values = [Element.from_Z(z).data.get("X") for z in range(1, MAX_Z + 1)]
    known = [float(x) if isinstance(x, (int, float)) else math.nan for x in values]
    return np.array([math.nan, *known])


@lru_cache(maxsize=1)
def covalent_radii() -> NDArray[np.float64]:
    """Return covalent radii by atomic number, (119,), Å (Cordero et al., Dalton Trans. 2832 (2008),
    as ASE has them: 0.2 where nobody knows)."""
    from ase.data import covalent_radii as radii

    return np.asarray(radii, dtype=np.float64)[: MAX_Z + 1]


@lru_cache(maxsize=1)
def electronegativity_rank() -> NDArray[Any]:
    """Return, by atomic number, the position of each element in order of Pauling electronegativity.

    Elements without a value (He, Ne, Ar and some heavy ones) come last, by atomic number. Index 0
    (an open atom) has rank 0.
    """
    order = np.argsort(electronegativities()[1:], kind="stable") + 1  # nan comes last
    rank = np.zeros(MAX_Z + 1, dtype=np.int64)
    rank[order] = np.arange(1, MAX_Z + 1)
    return rank


@dataclass(frozen=True)
class ElementRules:
    """What the open atoms of a request may become.

    Attributes:
        required: elements that must be in the crystal.
        allowed: the only elements that open atoms may become; empty: all that the model knows.
        forbidden: elements that open atoms must not become.
    """

    required: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    @classmethod
    def make(
        cls,
        required: Sequence[str] | str | None = None,
        allowed: Sequence[str] | str | None = None,
        forbidden: Sequence[str] | str | None = None,
    ) -> ElementRules:
        """Check the symbols and that no element is both wanted and forbidden.

        Raises:
            FormulaError: for an unknown symbol or contradicting lists.
        """
        rules = cls(element_set(required), element_set(allowed), element_set(forbidden))
        both = sorted((set(rules.required) | set(rules.allowed)) & set(rules.forbidden))
        if both:
            raise FormulaError(
                f"{', '.join(both)} cannot be both forbidden and required or allowed; "
                "take it out of one of the lists."
            )
        outside = sorted(set(rules.required) - set(rules.allowed)) if rules.allowed else []
        if outside:
            raise FormulaError(
                f"{', '.join(outside)} is required but not among the allowed elements; "
                "add it to `allowed`."
            )
        return rules

    def check_formula(self, text: str, elements: Collection[str]) -> None:
        """Check that a formula without open atoms, which these rules cannot change, meets them.

        Raises:
            FormulaError: if it has an element that is forbidden or not allowed.
        """
        barred = [symbol for symbol in self.forbidden if symbol in elements]
        outside = [s for s in elements if s not in self.allowed] if self.allowed else []
        if wrong := barred or outside:
            what = "forbidden" if barred else "not among the allowed"
            raise FormulaError(
                f"{', '.join(wrong)} is {what}, and '{text}' has it; the lists are for open atoms "
                "(?), and there are none."
            )

    def __bool__(self) -> bool:
        return bool(self.required or self.allowed or self.forbidden)


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


ANIONS = frozenset((7, 8, 9, 16, 17, 34, 35, 53))
"""N, O, F, S, Cl, Se, Br and I: of the ICSD's formulas in which one of them is the most
electronegative element 88 to 94 % are in balance, of nitrides 79 and of iodides 70 % (100 each)."""


def names_an_anion(numbers: NDArray[np.int64]) -> bool:
    """Return whether one of the `ANIONS` is among atomic numbers (n,)."""
    return not ANIONS.isdisjoint(numbers.tolist())


def is_charge_balanced(numbers: NDArray[np.int64]) -> bool:
    """Return whether some choice of oxidation states is neutral.

    The states are those that the elements have in the ICSD, as pymatgen keeps them; atoms of one
    element may have different ones (Fe3O4). It is what pymatgen's `oxi_state_guesses` finds, in a
    hundredth of the time.

    Args:
        numbers: (n,) atomic numbers of the cell.
    """
    elements, counts = np.unique(numbers, return_counts=True)
    counts = counts // np.gcd.reduce(counts)
    return _is_neutral(tuple(zip(elements.tolist(), counts.tolist(), strict=True)))


@lru_cache(maxsize=65536)
def _is_neutral(formula: tuple[tuple[int, int], ...]) -> bool:
    """Return whether charges can be balanced in a reduced formula of (atomic number, count).

    The sums that n atoms of an element can have are built up atom by atom.
    """
    from pymatgen.core import Element

    totals = {0}
    for number, count in formula:
        element = Element.from_Z(number)
        states = element.icsd_oxidation_states or element.common_oxidation_states
        for _ in range(count):
            totals = {total + state for total in totals for state in states}
    return 0 in totals
