"""Which candidates are worth a relaxation: those that lie lowest against the hull as they are.

A single point costs a two-hundredth of a relaxation. To screen what a generative model made by a
machine-learned potential, before anything dearer is done, raises the success of every such model
(Szymanski and Bartel, Mater. Horiz. 2025, doi:10.1039/d5mh00010f).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.evaluate.stability.hull import ReferenceHull
from crystal_ldm.evaluate.stability.potential import single_point
from crystal_ldm.files.run_directory import read_object
from crystal_ldm.files.writing import atomic_write_json
from crystal_ldm.parallel import Executor

RELAXED_SHARE = 0.5
"""Share of a round that is relaxed. The smaller it is, the more are preferred: lanthanides, and
what lies far below the hull, where most likely a phase is missing among the references."""

_TIMEOUT_S = 300.0  # most of it for a process that starts on a busy machine


def distances_before(
    crystals: Mapping[str, Cell],
    file: Path,
    potential: str,
    hull: ReferenceHull,
    executor: Executor,
) -> list[float]:
    """Return where crystals lie against the hull before they are relaxed, eV/atom; nan: unknown.

    Args:
        crystals: as they were made, by name.
        file: keeps their energies by name, so that none is computed twice.
        potential: whose energies the hull has.
        hull: the references.
        executor: runs the single points.

    Raises:
        RunError: the file cannot be written.
    """
    kept = read_object(file)
    new = [name for name in crystals if name not in kept]
    if new:
        cells = [crystals[name] for name in new]
        function = partial(single_point, name=potential)
        outcomes = executor.map(function, cells, timeout=_TIMEOUT_S)
        energies = {name: outcome.value for name, outcome in zip(new, outcomes, strict=True)}
        kept |= {name: energy for name, energy in energies.items() if energy is not None}
        atomic_write_json(file, kept)
    return [
        hull.distance(cell.formula_key, kept.get(name, math.nan)).e_above_hull
        for name, cell in crystals.items()
    ]


def most_promising(distances: Sequence[float], count: int) -> list[int]:
    """Return the places of the `count` lowest distances, the lowest first and unknown ones last."""
    places = range(len(distances))
    return sorted(places, key=lambda i: (math.isnan(distances[i]), distances[i], i))[:count]
