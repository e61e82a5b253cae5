"""A reference set, prepared once: what generated crystals are compared with."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.inputs import CrystalSet, read_crystals
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.description import Description, Wanted, describe_all
from crystal_ldm.evaluate.uniqueness import ReferenceCells
from crystal_ldm.evaluate.validity import CompositionRules, compositions_validity
from crystal_ldm.parallel.executor import Executor, Progress


class Reference:
    """The crystals of a reference set with whatever has been computed for them so far.

    Give the same object to several calls of `evaluate` and the work is done once.

    Args:
        source: crystals in any form that `evaluate` takes, for example a data set.

    Raises:
        EvaluationError: if no crystal of the set can be used.
    """

    def __init__(self, source: Any) -> None:
        self.crystals: CrystalSet = read_crystals(source)
        usable = [crystal for crystal in self.crystals.crystals if crystal is not None]
        if not usable:
            raise EvaluationError(
                "No crystal of the reference set can be used; "
                f"the first one: {self.crystals.errors[0]}."
            )
        self.usable = len(usable)
        self._descriptions: dict[float, list[Description]] = {}
        self._validity: dict[CompositionRules, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self.crystals)

    @cached_property
    def cells(self) -> ReferenceCells:
        """The set as novelty needs it."""
        return ReferenceCells(self.crystals)

    @cached_property
    def num_elements(self) -> NDArray[np.int64]:
        """Number of elements of each usable crystal."""
        return np.array([len(c.formula_key) for c in self.crystals.crystals if c is not None])

    def descriptions(
        self, bond_factor: float, executor: Executor, progress: Progress | None = None
    ) -> list[Description]:
        """Return density and coordination of each usable crystal."""
        if bond_factor not in self._descriptions:
            found = describe_all(
                self.crystals.crystals, Wanted(bond_factor=bond_factor), executor, progress
            )
            self._descriptions[bond_factor] = [d for d in found if d is not None]
        return self._descriptions[bond_factor]

    def composition_validity(self, rules: CompositionRules, executor: Executor) -> tuple[int, int]:
        """Return how many crystals have a valid composition, and of how many."""
        if rules not in self._validity:
            keys = [c.formula_key for c in self.crystals.crystals if c is not None]
            validity = compositions_validity(keys, rules, executor)
            self._validity[rules] = (sum(validity[key][0] for key in keys), len(self.crystals))
        return self._validity[rules]
