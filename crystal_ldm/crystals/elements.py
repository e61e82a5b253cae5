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
def electronegativity_rank() -> NDArray[Any]:
    """Return, by atomic number, the position of each element in order of Pauling electronegativity.

    Elements without a value (He, Ne, Ar and some heavy ones) come last, by atomic number. Index 0
    (an open atom) has rank 0.
    """
    from pymatgen.core import Element

    values = [0.0]
    for z in range(1, MAX_Z + 1):
        x = Element.from_Z(z).data.get("X")
        values.append(float(x) if isinstance(x, (int, float)) and math.isfinite(x) else math.inf)
    order = sorted(range(MAX_Z + 1), key=lambda z: (values[z], z))
    rank = np.empty(MAX_Z + 1, dtype=np.int64)
    rank[order] = np.arange(MAX_Z + 1)
    return rank
