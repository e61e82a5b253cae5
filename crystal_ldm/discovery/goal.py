"""What is looked for, and the requests that look for it."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from crystal_ldm.config.numbers import Number, short
from crystal_ldm.crystals import CrystalBatch, ElementRules
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.crystals.formula import parse_formula
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP, group_number, group_symbol
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
_NUMBER: TypeAdapter[float] = TypeAdapter(Number)
_SIZES = 1000  # a path of random numbers that no crystal has


@dataclass(frozen=True)
class Goal:
    """What is looked for; make it with `Goal.make`.

    Attributes:
        system: symbols of the elements that every candidate has, and no others.
        num_atoms: atoms in a cell without a formula, drawn with equal shares; empty: as often as in
            the training set.
        formula: a formula, as a rule with open atoms (`Sr?O3`); empty: all atoms are open.
        formula_units: formula units in a cell, in turn; empty: 1, 2, … as the model's cells allow.
        required, allowed, forbidden: what open atoms must and may become, and must not.
        band_gap: PBE gap in eV, a range of two, or None for any.
        max_hull_distance: what lies higher above the hull is left out, eV/atom.
        space_group: its number, or None for any.
        num_elements: fewest and most different elements; empty: any.
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
    num_elements: tuple[int, ...] = ()

    @classmethod
    def make(
        cls,
        system: str = "",
        formula: str = "",
        *,
        num_atoms: Any = None,
        num_elements: Any = None,
        formula_units: Any = None,
        required: Any = (),
        allowed: Any = (),
        forbidden: Any = (),
        band_gap: Any = None,
        max_hull_distance: float = 0.1,
        space_group: Any = None,
    ) -> Goal:
        """Read what a person typed. Without a system and a formula all elements are open: any oxide
        is `Goal.make(required=["O"])`, any ternary one has `num_elements=3`, too.

        Args:
            system: a chemical system such as `Li-Fe-O`: all of its elements and no others.
            formula: a formula such as `Sr?O3`, where ? is any element.
            num_atoms: atoms in a cell without a formula: a number, several, or None.
            num_elements: different elements: a number, a pair (fewest, most), or None.
            formula_units: formula units in a cell: a number, several, or None.
            required, allowed, forbidden: symbols that open atoms must become, may become (empty:
                all), and must not become; `"O, S"` or a list.
            band_gap: a number, a pair (low, high), or None.
            max_hull_distance: eV/atom.
            space_group: number or Hermann–Mauguin symbol, or None.

        Raises:
            RequestError: for a value that is none, or what does not go together.
            FormulaError: for a formula or an element that cannot be read.
        """
        if system and formula:
            raise RequestError(
                "Give a chemical system such as Li-Fe-O or a formula such as Sr?O3, not both."
            )
        if not isinstance(system, str):
            raise RequestError(f"A system is text such as Li-Fe-O, not {short(system)}.")
        symbols = tuple(dict.fromkeys(part for part in re.split(r"[-,\s]+", system) if part))
        if "?" in symbols:
            raise RequestError(
                "A system names all of its elements. Where some are open, name the others as "
                "`required`, and say with `num_elements` how many there are."
            )
        for symbol in symbols:
            atomic_number(symbol)
        rules = ElementRules.make(required, allowed, forbidden)
        sizes, units = _whole(num_atoms, "num_atoms"), _whole(formula_units, "formula_units")
        counts = _whole(num_elements, "num_elements")
        if len(counts) > 2 or counts != tuple(sorted(counts)):
            raise RequestError(
                f"num_elements is a number or a pair (fewest, most), not {num_elements}."
            )
        named, most = set(rules.required), math.inf
        if formula:
            parsed = parse_formula(formula)
            named, most = named | set(parsed.counts), len(parsed.counts) + parsed.num_open
            if sizes:
                raise RequestError("Cells of a formula are as large as formula_units says.")
        elif units:
            raise RequestError(
                "formula_units is for a formula; num_atoms says how large cells are."
            )
        if symbols and (rules or counts):
            raise RequestError(
                "A system names its elements: element lists and num_elements are for a formula, or "
                "go without both."
            )
        if rules.allowed:
            most = min(most, len(named | set(rules.allowed)))
        if counts and len(named) > counts[-1]:
            raise RequestError(
                f"{len(named)} elements are required, and num_elements is {counts[-1]}."
            )
        if counts and most < counts[0]:
            raise RequestError(
                f"{most} different elements can be there at most, and num_elements is {counts[0]}."
            )
        (limit,) = _numbers(max_hull_distance, "max_hull_distance", "a number of eV/atom")
        gap: float | tuple[float, float] | None = None
        if band_gap is not None:
            what = "a number of eV or a range (low, high)"
            ends = _numbers(band_gap, "band_gap", what, most=2)
            gap = (ends[0], ends[1]) if ends[0] < ends[-1] else ends[0]
        return cls(
            symbols, sizes, formula, units, rules.required, rules.allowed, rules.forbidden,
            gap, limit,
            None if space_group in (None, "") else group_number(space_group),
            counts and (counts[0], counts[-1]),
        )  # fmt: skip

    def __str__(self) -> str:
        parts = ["-".join(self.system) or self.formula or "any elements"]
        lists = ("required", "allowed", "forbidden")
        parts += [
            f"{name} {' '.join(getattr(self, name))}" for name in lists if getattr(self, name)
        ]
        if self.num_elements:
            parts.append(f"{' to '.join(map(str, dict.fromkeys(self.num_elements)))} elements")
        parts.append(f"hull distance up to {self.max_hull_distance:g} eV/atom")
        if self.band_gap is not None:
            low, high = self._gaps()
            parts.append(f"band gap {low:g} to {high:g} eV")
        if self.space_group is not None:
            parts.append(f"space group {group_symbol(self.space_group)}")
        return ", ".join(parts)

    @property
    def elements(self) -> set[int]:
        """Atomic numbers of what every candidate has."""
        named = set(map(atomic_number, (*self.system, *self.required)))
        return named | (set(parse_formula(self.formula).atomic_numbers) if self.formula else set())

    def to_dict(self) -> dict[str, Any]:
        """Return the goal as plain data."""
        content = asdict(self)
        if not self.num_elements:
            del content["num_elements"]  # runs of before there were any do not have it
        return content

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
        if self.num_elements:
            fewest, most = self.num_elements
            added["num_elements"] = {"fewest": fewest, "most": most}
        if self.space_group is not None:
            added["has_space_group"] = {"number": self.space_group}
        if self.band_gap is not None and _BAND_GAP in ldm.conditions:
            added["band_gap_within"] = {"tolerance": GAP_TOLERANCE}
        return added

    def has_gap(self, gap: float) -> bool:
        """Return whether a predicted gap in eV is as asked for; one that is not known is not."""
        low, high = self._gaps()
        return self.band_gap is None or low <= gap <= high

    def _gaps(self) -> tuple[float, float]:
        """Return the lowest and the highest gap that is as asked for, eV."""
        if isinstance(self.band_gap, tuple):
            return self.band_gap
        target = self.band_gap or 0.0
        return max(0.0, target - GAP_TOLERANCE), target + GAP_TOLERANCE

    def request(self, ldm: LDMModule, number: int, seed: int) -> tuple[CrystalBatch, int, int]:
        """Return the request of a round, the crystals of each of its rows, and their offset.

        Without a formula the cells are as large as in the training set, or as `num_atoms` says,
        drawn by `seed`; of a formula they hold one formula unit in the first round, and one more in
        each until they are as large as the model makes them, over and over.

        Raises:
            RequestError: if a cell is larger than the model's, or too small for its elements.
        """
        rules = {"required": self.required, "allowed": self.allowed, "forbidden": self.forbidden}
        if self.system:
            rules |= {"required": self.system, "allowed": self.system}
        how = {name: list(names) or None for name, names in rules.items()}
        targets = self.conditions(ldm)
        if self.formula:
            most = max(1, ldm.max_atoms // parse_formula(self.formula).num_atoms)
            units = self.formula_units or range(1, most + 1)
            request = CrystalBatch.from_formulas(
                [self.formula], units[number % len(units)], **how, **targets
            )
            return request, ROUND, number * ROUND
        fewest = max(1, len(rules["required"]), *self.num_elements[:1])
        sizes: NDArray[np.int_] = np.array(self.num_atoms or range(fewest, ldm.max_atoms + 1))
        if not len(sizes) or not fewest <= sizes.min() <= sizes.max() <= ldm.max_atoms:
            ends = dict.fromkeys([str(sizes.min()), str(sizes.max())]) if len(sizes) else ()
            asked = f", not {' to '.join(ends)}" if ends else ""
            raise RequestError(
                f"A cell of {fewest} elements has {fewest} or more atoms, and one of this model at "
                f"most {ldm.max_atoms}{asked}."
            )
        weights: NDArray[np.float64] = np.ones(ldm.max_atoms + 1)
        if not self.num_atoms:
            histogram = ldm.num_atoms_histogram[: len(weights)]
            weights[: len(histogram)] = histogram
        weights = weights[sizes] + 1e-9
        generator = crystal_generator(seed, _SIZES, number)
        drawn = generator.choice(sizes, ROUND, p=weights / weights.sum()).tolist()
        return CrystalBatch.from_num_atoms(drawn, **how, **targets), 1, number


def _numbers(value: Any, name: str, what: str, most: int = 1) -> tuple[float, ...]:
    """Return a number of 0 or more, or up to `most` in ascending order, as a tuple."""
    values = value if isinstance(value, list | tuple) else (value,)
    try:
        numbers = tuple(map(_NUMBER.validate_python, values))
    except ValidationError:
        numbers = ()
    if not 1 <= len(numbers) <= most or min(numbers) < 0 or numbers != tuple(sorted(numbers)):
        raise RequestError(f"{name} is {what}, 0 or more, not {short(value)}.")
    return numbers


def _whole(value: Any, name: str) -> tuple[int, ...]:
    """Return a whole number above 0, or several, as a tuple; None is empty."""
    values = () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)
    for one in values:
        if isinstance(one, bool) or not isinstance(one, int) or one < 1:
            raise RequestError(f"{name} is a whole number above 0 or a list of them, not {value}.")
    return values
