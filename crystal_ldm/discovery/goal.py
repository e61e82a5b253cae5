"""What is looked for, and the requests that look for it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.crystals.formula import parse_formula
from crystal_ldm.crystals.space_groups import SPACE_GROUP, group_number
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
        formula: a formula, as a rule with open atoms (`Sr?O3`).
        forbidden: what open atoms must not become.
        band_gap: PBE gap in eV, a range of two, or None for any.
        max_hull_distance: what lies higher above the hull is left out, eV/atom.
        space_group: its number, or None for any.
    """

    system: tuple[str, ...] = ()
    formula: str = ""
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
        forbidden: Any = (),
        band_gap: Any = None,
        max_hull_distance: float = 0.1,
        space_group: Any = None,
    ) -> Goal:
        """Read what a person typed.

        Args:
            system: a chemical system such as `Li-Fe-O`.
            formula: a formula such as `Sr?O3`, where ? is any element.
            forbidden: symbols that open atoms must not become.
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
        for symbol in (*symbols, *forbidden):
            atomic_number(symbol)
        if formula:
            parse_formula(formula)
        if isinstance(band_gap, list | tuple):
            if len(band_gap) != 2 or not band_gap[0] <= band_gap[1]:
                raise RequestError(f"A range of band gaps is (low, high), not {band_gap}.")
            band_gap = (float(band_gap[0]), float(band_gap[1]))
        if not max_hull_distance >= 0:
            raise RequestError(f"max_hull_distance is 0 or more, not {max_hull_distance}.")
        number = None if space_group in (None, "") else group_number(space_group)
        return cls(symbols, formula, tuple(forbidden), band_gap, float(max_hull_distance), number)

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

        Of a chemical system the cells are as large as in the training set, drawn by `seed`; of a
        formula they hold one formula unit in the first round, and one more in each until they are
        as large as the model makes them, over and over.

        Raises:
            RequestError: if the system has more elements than the model's cells have atoms.
        """
        targets = self.conditions(ldm)
        if self.formula:
            units = max(1, ldm.max_atoms // parse_formula(self.formula).num_atoms)
            request = CrystalBatch.from_formulas(
                [self.formula],
                number % units + 1,
                forbidden=list(self.forbidden) or None,
                **targets,
            )
            return request, ROUND, number * ROUND
        if len(self.system) > ldm.max_atoms:
            raise RequestError(
                f"A cell of this model has at most {ldm.max_atoms} atoms, and the system "
                f"{'-'.join(self.system)} has {len(self.system)} elements."
            )
        sizes = np.arange(len(self.system), ldm.max_atoms + 1)
        weights = np.ones(ldm.max_atoms + 1)
        histogram = ldm.num_atoms_histogram[: len(weights)]
        weights[: len(histogram)] = histogram
        weights = weights[sizes] + 1e-9
        generator = crystal_generator(seed, _SIZES, number)
        drawn = generator.choice(sizes, ROUND, p=weights / weights.sum()).tolist()
        elements = list(self.system)
        request = CrystalBatch.from_num_atoms(drawn, required=elements, allowed=elements, **targets)
        return request, 1, number
