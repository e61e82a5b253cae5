"""Stability of generated crystals: relaxed energy, distance to the hull, S.U.N. rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.evaluate.stability.hull import ReferenceHull
from crystal_ldm.evaluate.stability.potential import potential
from crystal_ldm.evaluate.stability.reference import ReferenceEnergies
from crystal_ldm.evaluate.stability.relaxation import (
    RelaxationSettings,
    Relaxed,
    relax_crystals,
)
from crystal_ldm.evaluate.statistics import rate
from crystal_ldm.parallel import AnyWorkers, Workers, open_executor

_OF_RELAXED = ("energy", "converged", "steps", "rmsd", "volume_change", "seconds")
_COLUMNS = (
    "id", "formula", "energy", "e_above_hull", "converged", "steps", "rmsd", "volume_change",
    "decomposes_to", "seconds", "error",
)  # fmt: skip


@dataclass
class Stability:
    """Stability of each crystal.

    Attributes:
        table: a row for each crystal: id, formula, energy and e_above_hull (eV/atom; nan where
            undefined), converged, steps, rmsd (Å), volume_change, decomposes_to, seconds, error.
        relaxed: the relaxed crystals; None where it failed.
        notes: what a reader of the numbers must know.
    """

    table: pd.DataFrame
    relaxed: list[Relaxed | None]
    notes: list[str] = field(default_factory=list)

    def rates(
        self,
        unique: ArrayLike | None = None,
        novel: ArrayLike | None = None,
        thresholds: Sequence[float] = (0.0, 0.1),
    ) -> pd.DataFrame:
        """Return the share of stable crystals, and of stable, unique and novel (S.U.N.) ones.

        A crystal whose distance is undefined counts as not stable and stays in n.

        Args:
            unique: for each crystal, from `evaluate`; without it only stability is counted.
            novel: the same.
            thresholds: largest energies above the hull, eV/atom.
        """
        distance = self.table["e_above_hull"].to_numpy(dtype=np.float64)
        rows = []
        for limit in thresholds:
            stable = distance <= limit  # nan is not
            flags = {"stable": stable}
            if unique is not None and novel is not None:
                flags["S.U.N."] = stable & np.asarray(unique, bool) & np.asarray(novel, bool)
            for name, values in flags.items():
                share = rate(int(values.sum()), len(distance))
                rows.append({"metric": name, "e_above_hull <=": limit, **share})
        return pd.DataFrame(rows)


def compute_stability(
    crystals: Any,
    folder: str | Path,
    *,
    settings: RelaxationSettings | None = None,
    hull: ReferenceHull | None = None,
    workers: AnyWorkers = None,
    progress: bool = False,
) -> Stability:
    """Relax crystals with a potential and compare with the hull of the same potential.

    Args:
        crystals: crystals in any form that `evaluate` takes.
        folder: where relaxed crystals are kept, one file each: a killed run goes on where it was.
        settings: how to relax; None: the defaults.
        hull: references; None: the shipped table.
        workers: see `open_executor`; a number of processes may take 6 GiB each.
        progress: show a bar.

    Raises:
        EvaluationError: if the shipped table is missing.
        RunError: if the folder cannot be written.
    """
    settings = settings or RelaxationSettings()
    source = read_crystals(crystals)
    hull = hull or ReferenceHull(ReferenceEnergies.shipped(settings.potential))
    with open_executor(workers, Workers(memory_gb=6), bars=progress) as executor:
        relaxed, errors = relax_crystals(source.crystals, folder, settings, executor)
    rows = []
    for i, (crystal, result) in enumerate(zip(source.crystals, relaxed, strict=True)):
        row: dict[str, Any] = {"id": source.ids[i], "formula": crystal.formula if crystal else None}
        row |= {"converged": False, "error": source.errors[i] or errors[i]}
        if result is not None:
            row |= {name: getattr(result, name) for name in _OF_RELAXED}
            distance = hull.distance(result.crystal.formula_key, result.energy)
            row["e_above_hull"], row["error"] = distance.e_above_hull, distance.error
            row["decomposes_to"] = " + ".join(distance.products) or None
        rows.append(row)
    before = [] if source is crystals else source.notes  # an evaluation has them already
    notes = [
        *before,
        f"Energies: {potential(settings.potential).name}, positions and cell relaxed to "
        f"{settings.fmax:g} eV/Å in at most {settings.max_steps} steps and "
        f"{settings.timeout:g} s; not relaxed: distances under {settings.min_distance:g} Å, "
        f"volumes under {settings.min_volume_per_atom:g} Å³/atom; hull of the same potential.",
    ]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    if undefined := int(table["e_above_hull"].isna().sum()):
        notes.append(f"The energy above the hull of {undefined} crystals is undefined.")
    return Stability(table, relaxed, notes)
