"""What is looked for, and the requests that look for it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals import CrystalBatch, ElementRules
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.crystals.formula import parse_formula
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP, group_number
from crystal_ldm.errors import RequestError
from crystal_ldm.random import crystal_generator

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule

ROUND = 32
"""Candidates of a round, half of which are relaxed: few enough for a first list in a minute or
two."""

GAP_TOLERANCE = 0.5
"""A predicted band gap this near to the one that was asked for meets it, eV: twice the
predictors' mean error."""

_BAND_GAP, _HULL = "band_gap", "e_above_hull"
_SIZES = 1000  # a path of random numbers that no crystal has


@dataclass(frozen=True)
class Goal:
    """What is looked for; make it with `Goal.make`.

    Attributes:
        system: symbols of the elements that every candidate has; empty: there is a formula.
        num_atoms: atoms in a cell of the system, drawn with equal shares; empty: as often as in
            the training set.
        formula: a formula, as a rule with open atoms (`Sr?O3`).
        formula_units: formula units in a cell, in turn; empty: 1, 2, … as the model's cells allow.
        required, allowed, forbidden: what open atoms must and may become, and must not.
        band_gap: PBE gap in eV, a range of two, or None for any.
        max_hull_distance: what lies higher above the hull is left out, eV/atom.
        space_group: its number, or None for any.
    """

    system: tuple[str, ...] = ()
    num_atoms: tuple[int, ...] = ()
    formula: str = ""
    formula_units: tuple[int, ...] = ()
    required: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    band_gap: float | tuple[float, float] | None = None
    max_hull_distance: float = 0.1
    space_group: int | None = None

    @classmethod
    def make(
        cls,
        system: str = "",
        formula: str = "",
        *,
        num_atoms: Any = None,
        formula_units: Any = None,
        required: Any = (),
        allowed: Any = (),
        forbidden: Any = (),
        band_gap: Any = None,
        max_hull_distance: float = 0.1,
        space_group: Any = None,
    ) -> Goal:
        """Read what a person typed.

        Args:
            system: a chemical system such as `Li-Fe-O`.
            formula: a formula such as `Sr?O3`, where ? is any element.
            num_atoms: atoms in a cell of the system: a number, several, or None.
            formula_units: formula units in a cell: a number, several, or None.
            required, allowed, forbidden: symbols that open atoms of the formula must become, may
                become (empty: all), and must not become.
            band_gap: a number, a pair (low, high), or None.
            max_hull_distance: eV/atom.
            space_group: number or Hermann–Mauguin symbol, or None.

        Raises:
            RequestError: unless there is either a system or a formula, or for a value that is none.
            FormulaError: for a formula that cannot be read.
        """
        if bool(system) == bool(formula):
            raise RequestError(
                "Give a chemical system such as Li-Fe-O or a formula such as Sr?O3, one of them."
            )
        symbols = tuple(dict.fromkeys(part for part in re.split(r"[-,\s]+", system) if part))
        for symbol in symbols:
            atomic_number(symbol)
        sizes, units = _whole(num_atoms, "num_atoms"), _whole(formula_units, "formula_units")
        lists = (tuple(required), tuple(allowed), tuple(forbidden))
        ElementRules.make(*lists)
        if formula:
            parse_formula(formula)
            if sizes:
                raise RequestError("Cells of a formula are as large as formula_units says.")
        elif units or any(lists):
            raise RequestError(
                "formula_units and element lists are for a formula; a system names its elements, "
                "and num_atoms says how large its cells are."
            )
        if isinstance(band_gap, list | tuple):
            if len(band_gap) != 2 or not band_gap[0] <= band_gap[1]:
                raise RequestError(f"A range of band gaps is (low, high), not {band_gap}.")
            band_gap = (float(band_gap[0]), float(band_gap[1]))
        if not max_hull_distance >= 0:
            raise RequestError(f"max_hull_distance is 0 or more, not {max_hull_distance}.")
        number = None if space_group in (None, "") else group_number(space_group)
        limit = float(max_hull_distance)
        return cls(symbols, sizes, formula, units, *lists, band_gap, limit, number)

    def __str__(self) -> str:
        parts = ["-".join(self.system) or self.formula]
        parts += [f"hull distance up to {self.max_hull_distance:g} eV/atom"]
        if self.band_gap is not None:
            parts.append(f"band gap {self.band_gap} eV")
        if self.space_group is not None:
            parts.append(f"space group {self.space_group}")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the goal as plain data."""
        return asdict(self)

    def conditions(self, ldm: LDMModule) -> dict[str, Any]:
        """Return the targets that a model takes as conditions; the others are checked later."""
        wanted = {
            _BAND_GAP: self.band_gap,
            SPACE_GROUP: self.space_group,
            _HULL: 0.0,
        }
        return {n: v for n, v in wanted.items() if v is not None and n in ldm.conditions}

    def filters(self, ldm: LDMModule) -> dict[str, Any]:
        """Return the filters that the targets add to those of a preset."""
        added: dict[str, Any] = {}
        if self.space_group is not None:
            added["has_space_group"] = {"number": self.space_group}
        if self.band_gap is not None and _BAND_GAP in ldm.conditions:
            added["band_gap_within"] = {"tolerance": GAP_TOLERANCE}
        return added

    def has_gap(self, gap: float) -> bool:
        """Return whether a predicted gap in eV is as asked for; one that is not known is not."""
        if self.band_gap is None:
            return True
        low, high = self.band_gap if isinstance(self.band_gap, tuple) else (self.band_gap,) * 2
        slack = 0.0 if low < high else GAP_TOLERANCE
        return low - slack <= gap <= high + slack

    def request(self, ldm: LDMModule, number: int, seed: int) -> tuple[CrystalBatch, int, int]:
        """Return the request of a round, the crystals of each of its rows, and their offset.

        Of a chemical system the cells are as large as in the training set, or as `num_atoms` says,
        drawn by `seed`; of a formula they hold one formula unit in the first round, and one more in
        each until they are as large as the model makes them, over and over.

        Raises:
            RequestError: if a cell is larger than the model's, or too small for its elements.
        """
        targets = self.conditions(ldm)
        if self.formula:
            most = max(1, ldm.max_atoms // parse_formula(self.formula).num_atoms)
            units = self.formula_units or range(1, most + 1)
            request = CrystalBatch.from_formulas(
                [self.formula],
                units[number % len(units)],
                required=list(self.required) or None,
                allowed=list(self.allowed) or None,
                forbidden=list(self.forbidden) or None,
                **targets,
            )
            return request, ROUND, number * ROUND
        if len(self.system) > ldm.max_atoms:
            raise RequestError(
                f"A cell of this model has at most {ldm.max_atoms} atoms, and the system "
                f"{'-'.join(self.system)} has {len(self.system)} elements."
            )
        sizes: NDArray[np.int_] = np.arange(len(self.system), ldm.max_atoms + 1)
        weights: NDArray[np.float64] = np.ones(ldm.max_atoms + 1)
        histogram = ldm.num_atoms_histogram[: len(weights)]
        weights[: len(histogram)] = histogram
        if self.num_atoms:
            sizes, weights = np.array(self.num_atoms), np.ones(ldm.max_atoms + 1)
            if not len(self.system) <= sizes.min() <= sizes.max() <= ldm.max_atoms:
                raise RequestError(
                    f"Cells of {'-'.join(self.system)} have {len(self.system)} to {ldm.max_atoms} "
                    f"atoms in this model, not {sizes.min()} to {sizes.max()}."
                )
        weights = weights[sizes] + 1e-9
        generator = crystal_generator(seed, _SIZES, number)
        drawn = generator.choice(sizes, ROUND, p=weights / weights.sum()).tolist()
        elements = list(self.system)
        request = CrystalBatch.from_num_atoms(drawn, required=elements, allowed=elements, **targets)
        return request, 1, number


def _whole(value: Any, name: str) -> tuple[int, ...]:
    """Return a whole number above 0, or several, as a tuple; None is empty."""
    values = () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)
    for one in values:
        if isinstance(one, bool) or not isinstance(one, int) or one < 1:
            raise RequestError(f"{name} is a whole number above 0 or a list of them, not {value}.")
    return values
