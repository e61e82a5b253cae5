"""Element symbols, atomic numbers and the order in which a canonical crystal lists its atoms."""

from __future__ import annotations

import math
from collections.abc import Iterable
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


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    return {symbol: z for z, symbol in enumerate(symbols())}


def atomic_number(symbol: str) -> int:
    """Return the atomic number of `symbol`, 0 for `?`.

    Raises:
        FormulaError: if there is no such element.
    """
    try:
        return _numbers()[symbol]
    except KeyError:
        raise FormulaError(
            f"'{symbol}' is not an element symbol.{suggest(symbol, _numbers())}"
        ) from None


def element_set(names: Iterable[str] | str | None) -> tuple[str, ...]:
    """Return `names` (a list, or one string such as `"O S, Se"`) as sorted, checked symbols."""
    if names is None:
        return ()
    if isinstance(names, str):
        names = names.replace(",", " ").split()
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
