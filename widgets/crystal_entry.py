"""A crystal together with where it comes from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import uuid4

from pymatgen.core import Structure

from crystal_ldm.crystals.padding import plain_list
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.recipe import from_recipe, recipe_hash
from crystal_ldm.runs.sample_run import read_crystals_of, read_run_recipe
from crystal_ldm.sampling import SampleResult, TrajectoryFrame


@dataclass
class CrystalEntry:
    """A crystal of the workbench.

    Attributes:
        structure: the crystal.
        origin: "generated", "varied", "interpolated", "relaxed" or "loaded".
        recipe: what makes it again with `row` and `number`; None where nothing does.
        row, number: its place in the recipe's result.
        facts: further columns of the table.
        key: what tells it from all others, also when it is read again; made where it is empty.
        parent: the key of the crystal that this one was relaxed from; empty where there is none.
        request: the name of the folder of the request that made it; empty for the run's own.
    """

    structure: Structure
    origin: str = "generated"
    recipe: dict[str, Any] | None = None
    row: int = 0
    number: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    parent: str = ""
    request: str = ""

    def identify(self) -> str:
        """Return the key; that of a crystal with a recipe follows from recipe and place."""
        if not self.key:
            place = f"-{self.row}-{self.number}"
            self.key = recipe_hash(self.recipe) + place if self.recipe else uuid4().hex
        return self.key

    @property
    def columns(self) -> dict[str, Any]:
        """What a gallery's row says of it besides what the structure itself tells."""
        volume = round(float(self.structure.volume) / max(len(self.structure), 1), 4)
        return {"origin": self.origin, "volume_per_atom": volume, **self.facts}


def plain(value: Any) -> Any:
    """Return a fact as JSON has it: a number that is none becomes nothing, an object its text."""
    if getattr(value, "ndim", None) == 0:  # numpy's and torch's single numbers
        value = value.item()
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def parents_of(entries: Sequence[CrystalEntry]) -> list[int | None]:
    """Return for each crystal the position of the one that it was relaxed from, or None.

    The list is empty where there is none at all.
    """
    if not any(entry.parent for entry in entries):
        return []
    place = {entry.identify(): i for i, entry in enumerate(entries)}
    return [place.get(entry.parent) if entry.parent else None for entry in entries]


def from_result(result: SampleResult, origin: str = "generated") -> list[CrystalEntry]:
    """Return the crystals of a result, each with its recipe."""
    entries = []
    for i, structure in enumerate(result.to_structures()):
        facts: dict[str, Any] = {"element_agreement": float(result.element_agreement[i])}
        if bool(result.displacement[i].isfinite()):
            facts["displacement"] = float(result.displacement[i])
        for name, values in result.crystals.conditions.items():
            facts[f"target_{name}"] = _target(plain_list(values)[i])
        if not all(bool(passed[i]) for passed in result.passed.values()):
            failed = [name for name, passed in result.passed.items() if not passed[i]]
            facts["failed"] = ", ".join(failed).replace("_", " ")
        facts["seed"] = result.seed
        place = (int(result.row[i]), int(result.number[i]))
        entries.append(CrystalEntry(structure, origin, result.recipe, *place, facts))
    return entries


def from_run(run_dir: str | Path) -> list[CrystalEntry]:
    """Return the crystals that a run of 04_sample has written so far; none where there are none.

    Raises:
        DataError: the run's recipe cannot be read.
    """
    entries: list[CrystalEntry] = []
    recipe: dict[str, Any] | None = None
    for line, structure in read_crystals_of(run_dir):
        recipe = recipe or read_run_recipe(run_dir)
        facts = {
            key: _number(value)
            for key, value in line.items()
            if value  # a column that says nothing takes width
            and (key.startswith("target_") or key in ("element_agreement", "displacement", "seed"))
        }
        place = (int(line["row"]), int(line["number"]))
        entries.append(CrystalEntry(structure, "generated", recipe, *place, facts))
    return entries


def trajectory_of(ldm: LDMModule, entry: CrystalEntry) -> Sequence[TrajectoryFrame]:
    """Return the denoising of a generated crystal: it is made again, and each step is kept.

    Raises:
        RequestError: it has no recipe.
        CheckpointError: another model made it.
    """
    if entry.recipe is None:
        raise RequestError(
            f"A crystal that was {entry.origin} has no denoising to show; choose a generated one."
        )
    sampling = {**entry.recipe["sampling"], "trajectory": True}
    one = {**entry.recipe, "sampling": sampling, "row": entry.row, "number": entry.number}
    return from_recipe(json.dumps(one).encode(), ldm).trajectory or ()


def _target(value: Any) -> Any:
    """Return what was asked for, a range as text; None where nothing was."""
    if isinstance(value, list | tuple):
        return " to ".join(f"{v:g}" for v in value if v == v) or None
    value = plain(value)
    return round(value, 4) if isinstance(value, float) else value


def _number(text: str | None) -> Any:
    try:
        return float(text or "nan")
    except ValueError:
        return text
