"""A crystal together with where it comes from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystal_ldm.ldm_module import LDMModule
    from crystal_ldm.sampling import SampleResult, TrajectoryFrame


@dataclass
class Made:
    """A crystal of the workbench.

    Attributes:
        structure: the crystal.
        origin: "generated", "varied", "interpolated", "relaxed" or "loaded".
        recipe: what makes it again with `row` and `number`; None where nothing does.
        row, number: its place in the recipe's result.
        facts: further columns of the table.
    """

    structure: Structure
    origin: str = "generated"
    recipe: dict[str, Any] | None = None
    row: int = 0
    number: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Any]:
        """What a gallery's row says of it besides what the structure itself tells."""
        volume = round(float(self.structure.volume) / max(len(self.structure), 1), 4)
        return {"origin": self.origin, "volume_per_atom": volume, **self.facts}


def from_result(result: SampleResult, origin: str = "generated") -> list[Made]:
    """Return the crystals of a result; only generated ones have a recipe that makes them again."""
    made = []
    for i, structure in enumerate(result.to_structures()):
        facts: dict[str, Any] = {"element_agreement": float(result.element_agreement[i])}
        for name, values in result.crystals.conditions.items():
            facts[f"target_{name}"] = _target(values[i])
        facts["seed"] = result.seed
        recipe = result.recipe if origin == "generated" else None
        place = (int(result.row[i]), int(result.number[i]))
        made.append(Made(structure, origin, recipe, *place, facts))
    return made


def from_run(run_dir: str | Path) -> list[Made]:
    """Return the crystals that a run of 04_sample has written so far; none where there are none.

    Raises:
        DataError: the run's recipe cannot be read.
    """
    from crystal_ldm.runs import read_crystals_of, read_run_recipe

    made: list[Made] = []
    recipe: dict[str, Any] | None = None
    for line, structure in read_crystals_of(run_dir):
        recipe = recipe or read_run_recipe(run_dir)
        facts = {
            key: _number(value)
            for key, value in line.items()
            if key.startswith("target_") or key in ("element_agreement", "seed")
        }
        place = (int(line["row"]), int(line["number"]))
        made.append(Made(structure, "generated", recipe, *place, facts))
    return made


def trajectory_of(ldm: LDMModule, made: Made) -> Sequence[TrajectoryFrame]:
    """Return the denoising of a generated crystal: it is made again, and each step is kept.

    Raises:
        RequestError: it has no recipe.
        CheckpointError: another model made it.
    """
    from crystal_ldm.errors import RequestError
    from crystal_ldm.recipe import from_recipe

    if made.recipe is None:
        raise RequestError(
            f"A crystal that was {made.origin} has no denoising to show; choose a generated one."
        )
    sampling = {**made.recipe["sampling"], "trajectory": True}
    one = {**made.recipe, "sampling": sampling, "row": made.row, "number": made.number}
    return from_recipe(json.dumps(one).encode(), ldm).trajectory or ()


def _target(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        known = not any(v != v for v in value)
        return " to ".join(f"{v:g}" for v in value) if known else None
    if isinstance(value, float):
        return None if value != value else round(value, 4)
    return value


def _number(text: str | None) -> Any:
    try:
        return float(text or "nan")
    except ValueError:
        return text
