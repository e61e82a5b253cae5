"""Relaxing crystals with a potential, each result saved at once."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.stability.potential import calculator, check_elements, potential
from crystal_ldm.files.writing import atomic_write, make_folder
from crystal_ldm.parallel import Executor
from crystal_ldm.parallel.executor import Progress

LATE = "the time was up before it was relaxed"


@dataclass(frozen=True)
class RelaxationSettings:
    """How crystals are relaxed: positions and cell together.

    Attributes:
        potential: "chgnet", or "sevennet" where the extra is installed.
        fmax: forces (and the gradient by the cell) below which it has converged, eV/Å.
        max_steps: longest relaxation.
        timeout: longest time for one crystal, s.
        min_distance, min_volume_per_atom: what is more crowded is not relaxed, Å and Å³: the
            potential was never shown anything like it.
    """

    potential: str = "chgnet"
    fmax: float = 0.05
    max_steps: int = 300
    timeout: float = 600.0
    min_distance: float = 0.5
    min_volume_per_atom: float = 2.0

    def __post_init__(self) -> None:
        potential(self.potential)
        if not self.fmax > 0 or self.max_steps < 1 or not self.timeout > 0:
            raise EvaluationError(
                "A relaxation needs fmax above 0, at least one step and some time, not "
                f"fmax {self.fmax}, max_steps {self.max_steps}, timeout {self.timeout}."
            )


@dataclass(frozen=True)
class Relaxed:
    """A relaxed crystal.

    Attributes:
        energy, energy_before: eV/atom.
        converged: whether forces fell below fmax.
        steps: number of steps taken.
        rmsd: root mean square displacement of the atoms against the relaxed cell, without the
            common translation and the change of the cell, Å.
        volume_change: relative.
        seconds: time taken.
        crystal: after relaxation.
    """

    energy: float
    energy_before: float
    converged: bool
    steps: int
    rmsd: float
    volume_change: float
    seconds: float
    crystal: Cell


def relax_crystal(crystal: Cell, settings: RelaxationSettings) -> Relaxed:
    """Relax positions and cell (FIRE, Bitzek et al. 2006, on ASE's Fréchet cell filter).

    Raises:
        EvaluationError: if the potential does not know an element, the crystal is too crowded to
            start from, or the relaxation leaves what the potential can describe.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    from crystal_ldm.crystals.geometry.distances import shortest_distance

    check_elements(crystal, settings.potential)
    n = len(crystal.numbers)
    least, nearest = settings.min_volume_per_atom, settings.min_distance
    if crystal.volume / n < least or shortest_distance(crystal) < nearest:
        raise EvaluationError(
            f"it is too crowded to be relaxed: under {least:g} Å³ an atom, or two atoms within "
            f"{nearest:g} Å"
        )
    atoms = crystal.to_atoms()
    atoms.calc = calculator(settings.potential)
    started = time.perf_counter()
    before = float(atoms.get_potential_energy()) / n
    optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
    converged = bool(optimizer.run(fmax=settings.fmax, steps=settings.max_steps))
    energy = float(atoms.get_potential_energy()) / n
    if not math.isfinite(energy):
        raise EvaluationError("the potential gave an energy that is not a finite number")
    relaxed = Cell.from_arrays(
        atoms.numbers, atoms.get_scaled_positions(wrap=False), atoms.cell.array
    )
    return Relaxed(
        energy=energy,
        energy_before=before,
        converged=converged,
        steps=int(optimizer.nsteps),
        rmsd=displacement(crystal, relaxed),
        volume_change=relaxed.volume / crystal.volume - 1,
        seconds=time.perf_counter() - started,
        crystal=relaxed,
    )


def displacement(first: Cell, second: Cell) -> float:
    """Return the root mean square displacement of the atoms in Å, measured in the second cell."""
    return float(np.sqrt((shifts(first, second) ** 2).mean()))


def shifts(first: Cell, second: Cell) -> NDArray[np.float64]:
    """Return how far each atom of the first cell is from where it is in the second, (N,) Å.

    Measured in the second cell, without the atoms' common translation.
    """
    difference = second.frac_coords - first.frac_coords
    difference = difference - np.round(difference - difference[0]) - difference[0]
    difference = difference - difference.mean(axis=0)
    distance: NDArray[np.float64] = np.linalg.norm(difference @ second.lattice, axis=1)
    return distance


def content_key(crystal: Cell, settings: RelaxationSettings) -> str:
    """Return a name that stands for the crystal, the potential and the settings."""
    digest = hashlib.sha256()
    for part in crystal.content:
        digest.update(part)
    text = f"{potential(settings.potential).name} {settings.fmax:g} {settings.max_steps}"
    digest.update(text.encode())
    return digest.hexdigest()[:32]


def is_relaxed(crystal: Cell, folder: Path, settings: RelaxationSettings) -> bool:
    """Return whether a folder holds a crystal's relaxation by these settings."""
    return (folder / f"{content_key(crystal, settings)}.json").is_file()


def save_relaxed(path: Path, relaxed: Relaxed) -> None:
    """Write a result so that a file of this name is always a whole one."""
    content = asdict(relaxed)
    content["crystal"] = {
        name: getattr(relaxed.crystal, name).tolist()
        for name in ("numbers", "frac_coords", "lattice")
    }
    atomic_write(path, json.dumps(content), flush=False)


def load_relaxed(path: Path) -> Relaxed | None:
    """Read a result; None if there is none that can be read."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        content["crystal"] = Cell.from_arrays(**content["crystal"])
        return Relaxed(**content)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def relax_crystals(
    crystals: Sequence[Cell | None],
    folder: str | Path,
    settings: RelaxationSettings,
    executor: Executor,
    *,
    in_time: Callable[[], bool] | None = None,
    progress: Progress | None = None,
) -> tuple[list[Relaxed | None], list[str | None]]:
    """Relax many crystals; what a folder already holds is not done again.

    Each result is a file of its own, named by content, written as soon as it is there: a run that
    is killed at any moment goes on where it was. Failures are not kept, so that they are tried
    again.

    Args:
        folder: where the results are kept; it may be shared by several runs.
        in_time: asked before each relaxation, in the order of the crystals; once it is false no
            further one begins, and the reason of those without a result is `LATE`.
        progress: called with the number of crystals just relaxed.

    Returns:
        The results, and for those without one the reason.

    Raises:
        RunError: if the folder cannot be written.
    """
    folder = make_folder(folder)
    results: list[Relaxed | None] = [None] * len(crystals)
    errors: list[str | None] = ["it could not be read" if c is None else None for c in crystals]
    waiting: dict[str, list[int]] = {}
    for position, crystal in enumerate(crystals):
        if crystal is None:
            continue
        key = content_key(crystal, settings)
        results[position] = load_relaxed(folder / f"{key}.json")
        if results[position] is None:
            waiting.setdefault(key, []).append(position)
            errors[position] = LATE
    keys = list(waiting)

    items: Iterable[Cell | None] = [crystals[waiting[key][0]] for key in keys]
    if in_time is not None:
        items = takewhile(lambda crystal: in_time(), items)
    how: Any = {"timeout": settings.timeout, "chunk": 1, "label": "relaxation"}
    function = partial(relax_crystal, settings=settings)
    for outcome in executor.imap(function, items, progress=progress, **how):
        key = keys[outcome.index]
        if outcome.error is None:
            save_relaxed(folder / f"{key}.json", outcome.value)
        for position in waiting[key]:
            results[position], errors[position] = outcome.value, outcome.error
    return results, errors
