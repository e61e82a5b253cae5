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
    RelaxationSettings,
    is_relaxed,
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
        if hull is None or not (in_time() or self._is_kept(crystal)):
            return None
        (relaxed,), (error,) = relax_crystals([crystal], self.folder, self._how, self.executor)
        if relaxed is None:
            self._note(f"{crystal.formula} has no energy by {POTENTIAL}: {error}.")
            return None
        return hull.distance(crystal.formula_key, relaxed.energy)

    def _is_kept(self, crystal: Cell) -> bool:
        return is_relaxed(crystal, self.folder, self._how)

    @property
    def _how(self) -> RelaxationSettings:
        return replace(self.settings, potential=POTENTIAL)

    def _own_hull(
        self, elements: frozenset[int], in_time: Callable[[], bool]
    ) -> ReferenceHull | None:
        """Return the second potential's hull of some elements; None if a phase is missing."""
        keys = self._phases(elements)
        try:
            cells = {key: self._cell(key) for key in keys}
        except DataError as error:
            self._note(f"There is no second opinion: its references cannot be had ({error}).")
            return None
        energies: dict[FormulaKey, float] = {}
        waiting = list(cells.items())
        while waiting:
            some, waiting = waiting[:8], waiting[8:]
            if not in_time() and not all(self._is_kept(cell) for _, cell in some):
                return None
            results, errors = relax_crystals(
                [cell for _, cell in some], self.folder, self._how, self.executor
            )
            for (key, _), result, reason in zip(some, results, errors, strict=True):
                if result is None:
                    self._note(f"A reference has no energy by {POTENTIAL}: {reason}.")
                    return None
                energies[key] = result.energy
        ids = {key: self.hull.energies.ids.get(key, "") for key in energies}
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
