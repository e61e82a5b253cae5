"""A reference set, prepared once: what generated crystals are compared with."""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell, FormulaKey
from crystal_ldm.crystals.inputs import CrystalSet, read_crystals
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.description import Description, comparison_form, describe_all
from crystal_ldm.evaluate.thresholds import Thresholds
from crystal_ldm.evaluate.validity import compositions_validity
from crystal_ldm.parallel.executor import Executor


class Reference:
    """The crystals of a reference set with whatever has been computed for them so far.

    Give the same object to several calls of `evaluate` and the work is done once. Only references
    that share a formula with a generated crystal are ever reduced.

    Args:
        source: crystals in any form that `evaluate` takes, for example a data set.

    Attributes:
        crystals: the set.
        usable: how many of them could be read.
        errors: why a crystal could not be reduced, by its position.

    Raises:
        EvaluationError: if no crystal of the set can be used.
    """

    def __init__(self, source: Any) -> None:
        self.crystals: CrystalSet = read_crystals(source)
        self._by_formula: dict[FormulaKey, list[int]] = defaultdict(list)
        for position, crystal in enumerate(self.crystals.crystals):
            if crystal is not None:
                self._by_formula[crystal.formula_key].append(position)
        if not self._by_formula:
            raise EvaluationError(
                "No crystal of the reference set can be used; "
                f"the first one: {self.crystals.errors[0]}."
            )
        self.usable = sum(map(len, self._by_formula.values()))
        self.errors: dict[int, str] = {}
        self._forms: dict[int, tuple[Cell, NDArray[np.float64] | None]] = {}
        self._descriptions: dict[float, list[Description]] = {}
        self._validity: dict[Thresholds, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self.crystals)

    @cached_property
    def num_elements(self) -> NDArray[np.int64]:
        """Number of elements of each usable crystal."""
        return np.array([len(c.formula_key) for c in self.crystals.crystals if c is not None])

    def descriptions(self, limits: Thresholds, executor: Executor) -> list[Description]:
        """Return density and coordination of each usable crystal."""
        if limits.bond_factor not in self._descriptions:
            crystals = self.crystals.crystals
            every = describe_all(crystals, limits, executor, "reference", distances=False)
            self._descriptions[limits.bond_factor] = [d for d in every if d is not None]
        return self._descriptions[limits.bond_factor]

    def composition_validity(self, limits: Thresholds, executor: Executor) -> tuple[int, int]:
        """Return how many crystals have a valid composition, and of how many."""
        if limits not in self._validity:
            keys = [c.formula_key for c in self.crystals.crystals if c is not None]
            validity = compositions_validity(keys, limits, executor)
            self._validity[limits] = (sum(validity[key][0] for key in keys), len(self.crystals))
        return self._validity[limits]

    def reduce(self, keys: set[FormulaKey], executor: Executor) -> None:
        """Reduce the crystals of some formulas."""
        todo = [
            position
            for key in keys
            for position in self._by_formula.get(key, [])
            if position not in self._forms and position not in self.errors
        ]
        crystals = (self.crystals.crystals[position] for position in todo)
        for outcome in executor.imap(comparison_form, crystals):
            if outcome.error is None:
                self._forms[todo[outcome.index]] = outcome.value
            else:
                self.errors[todo[outcome.index]] = outcome.error

    def reduced(self, position: int) -> Cell:
        """Return the reduced cell of a crystal of a formula that was given to `reduce`."""
        return self._forms[position][0]

    def of_formula(self, crystal: Cell, packing: NDArray[np.float64] | None) -> list[int]:
        """Return the reduced crystals of the same formula, the closest packing first."""
        usable = [p for p in self._by_formula.get(crystal.formula_key, []) if p in self._forms]
        return sorted(usable, key=lambda p: (_packing_difference(packing, self._forms[p][1]), p))

    def closest_composition(self, key: FormulaKey) -> tuple[int, float]:
        """Return a crystal of the closest composition and the share of atoms to exchange."""
        if key in self._by_formula:
            return self._by_formula[key][0], 0.0
        keys, fractions = self._fractions
        difference = np.abs(fractions - _fractions_of(key)).sum(axis=1) / 2
        best = int(difference.argmin())
        return self._by_formula[keys[best]][0], float(difference[best])

    @cached_property
    def _fractions(self) -> tuple[list[FormulaKey], NDArray[np.float32]]:
        return list(self._by_formula), np.stack([_fractions_of(key) for key in self._by_formula])


def _fractions_of(key: FormulaKey) -> NDArray[np.float32]:
    fractions = np.zeros(119, dtype=np.float32)
    for z, count in key:
        fractions[z] = count
    fractions /= fractions.sum()
    return fractions


def _packing_difference(
    first: NDArray[np.float64] | None, second: NDArray[np.float64] | None
) -> float:
    if first is None or second is None:
        return math.inf
    return float(np.abs(first - second).mean())
