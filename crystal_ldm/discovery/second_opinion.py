"""A second potential's opinion of the best, against a hull of its own energies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from crystal_ldm.crystals.cell import Cell, FormulaKey
from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.errors import DataError
from crystal_ldm.evaluate.stability.hull import HullDistance, ReferenceHull
from crystal_ldm.evaluate.stability.potential import potential
from crystal_ldm.evaluate.stability.reference import ReferenceEnergies, elemental_structure
from crystal_ldm.evaluate.stability.relaxation import (
    LATE,
    RelaxationSettings,
    Relaxed,
    relax_crystals,
)
from crystal_ldm.parallel import Executor

POTENTIAL = "sevennet"
NEAR_HULL_EV = 0.03
"""References of a system that are this near to its hull by the first potential are relaxed by the
second: others would not become its phases."""


def why_not() -> str:
    """Return in a sentence why there is no second opinion; empty: there is one."""
    if find_spec("sevenn") is not None:
        return ""
    return (
        "There is no second opinion, since the optional package 'sevenn' is not installed: "
        "pip install 'crystal-ldm[sevenn]', then run the same again."
    )


@dataclass
class SecondOpinion:
    """Asks the second potential; energies of the two never meet in one hull.

    Attributes:
        hull: the references of the first potential, which say what the phases of a system are.
        folder: where relaxed crystals are kept.
        settings: how the first potential relaxes; the second does the same.
        executor: runs the relaxations.
        notes: what a reader of the numbers must know.
    """

    hull: ReferenceHull
    folder: Path
    settings: RelaxationSettings
    executor: Executor
    notes: list[str] = field(default_factory=list)
    _systems: dict[frozenset[int], ReferenceHull | None] = field(default_factory=dict)
    _cells: dict[str, Cell] | None = None

    def distance(
        self, crystal: Cell, in_time: Callable[[], bool] = lambda: True
    ) -> HullDistance | None:
        """Return where a crystal lies against the second potential's hull; None: it is unknown.

        Args:
            crystal: relaxed by the first potential.
            in_time: whether there is time to relax it and its references; what was relaxed is kept.
        """
        elements = frozenset(z for z, _ in crystal.formula_key)
        if elements not in self._systems:
            self._systems[elements] = self._own_hull(elements, in_time)
        hull = self._systems[elements]
        relaxed = self._relax([crystal], in_time) if hull is not None else None
        return hull.distance(crystal.formula_key, relaxed[0].energy) if hull and relaxed else None

    def _relax(self, crystals: list[Cell], in_time: Callable[[], bool]) -> list[Relaxed] | None:
        """Return the crystals relaxed by the second potential; None if one of them is not."""
        how = replace(self.settings, potential=POTENTIAL)
        results, errors = relax_crystals(crystals, self.folder, how, self.executor, in_time=in_time)
        for crystal, error in zip(crystals, errors, strict=True):
            if error not in (None, LATE):
                self._note(f"{crystal.formula} has no energy by {POTENTIAL}: {error}.")
        relaxed = [result for result in results if result is not None]
        return relaxed if len(relaxed) == len(crystals) else None

    def _own_hull(
        self, elements: frozenset[int], in_time: Callable[[], bool]
    ) -> ReferenceHull | None:
        """Return the second potential's hull of some elements; None if a phase is missing."""
        keys = self._phases(elements)
        try:
            cells = [self._cell(key) for key in keys]
        except DataError as error:
            self._note(f"There is no second opinion: its references cannot be had ({error}).")
            return None
        relaxed = self._relax(cells, in_time)
        if relaxed is None:
            return None
        energies = {key: one.energy for key, one in zip(keys, relaxed, strict=True)}
        ids = {key: self.hull.energies.ids[key] for key in keys}
        return ReferenceHull(ReferenceEnergies(energies, ids, potential(POTENTIAL).name))

    def _phases(self, elements: frozenset[int]) -> list[FormulaKey]:
        """Return the references on the first potential's hull and near it, elements first."""
        within = sorted(self.hull.energies.within(elements))
        near = [
            key
            for key, energy in within
            if len(key) == 1 or self.hull.distance(key, energy).e_above_hull <= NEAR_HULL_EV
        ]
        return sorted(near, key=len)

    def _cell(self, key: FormulaKey) -> Cell:
        name = self.hull.energies.ids[key]
        if self._cells is None:
            from crystal_ldm.data import load_dataset

            dataset = read_crystals(load_dataset("oqmd_icsd", progress=False))
            pairs = zip(dataset.ids, dataset.crystals, strict=True)
            self._cells = {i: cell for i, cell in pairs if cell is not None}
        cell = self._cells.get(name) or (elemental_structure(key[0][0]) if len(key) == 1 else None)
        if cell is None:
            raise DataError(f"the data set has no crystal '{name}'")
        return cell

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
