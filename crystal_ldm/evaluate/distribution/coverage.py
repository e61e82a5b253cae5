"""Coverage recall and precision (CDVAE, Xie et al. 2022, section 5.2 and appendix G.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.evaluate.distribution.fingerprints import (
    composition_fingerprint,
    structure_fingerprint,
)
from crystal_ldm.parallel import Executor
from crystal_ldm.parallel.executor import Progress


@dataclass
class Coverage:
    """Coverage in both directions.

    Attributes:
        covered: for each generated crystal, whether a reference is near it in both fingerprints.
        found: for each reference, whether a generated crystal is near it.
        errors: for each generated crystal, why it has no fingerprint (it is not covered).
        reference_errors: the same for each reference (it is not found).
    """

    covered: NDArray[np.bool_]
    found: NDArray[np.bool_]
    errors: list[str | None]
    reference_errors: list[str | None]

    @property
    def precision(self) -> float:
        """Share of all generated crystals that are covered."""
        return float(self.covered.mean())

    @property
    def recall(self) -> float:
        """Share of all references that are found."""
        return float(self.found.mean())


def coverage(
    generated: Sequence[Cell | None],
    reference: Sequence[Cell | None],
    structure_cutoff: float,
    composition_cutoff: float,
    executor: Executor,
    progress: Progress | None = None,
) -> Coverage:
    """Return coverage with the nearest structure and the nearest composition, as CDVAE does.

    A crystal is near a set if its nearest structure fingerprint there is within `structure_cutoff`
    and its nearest composition fingerprint, possibly another crystal's, within
    `composition_cutoff`. Composition fingerprints are standardised with mean and standard deviation
    of the reference set (CDVAE stores constants of its training data), so that numbers come close
    to published ones only for a reference set like the one that they were published for.
    """
    first, errors = _fingerprints(generated, executor, progress)
    second, reference_errors = _fingerprints(reference, executor, progress)
    able1 = np.array([error is None for error in errors], dtype=bool)
    able2 = np.array([error is None for error in reference_errors], dtype=bool)
    covered, found = np.zeros(len(generated), bool), np.zeros(len(reference), bool)
    if able1.any() and able2.any():
        compositions2 = _compositions(reference, able2)
        mean, spread = np.nanmean(compositions2, axis=0), np.nanstd(compositions2, axis=0)
        spread[spread < 1e-9] = 1.0
        compositions1 = np.nan_to_num((_compositions(generated, able1) - mean) / spread)
        compositions2 = np.nan_to_num((compositions2 - mean) / spread)
        near = [
            (a <= structure_cutoff) & (b <= composition_cutoff)
            for a, b in zip(
                _nearest(first[able1], second[able2]),
                _nearest(compositions1, compositions2),
                strict=True,
            )
        ]
        covered[able1], found[able2] = near
    return Coverage(covered, found, errors, reference_errors)


def _fingerprints(
    crystals: Sequence[Cell | None], executor: Executor, progress: Progress | None
) -> tuple[NDArray[np.float64], list[str | None]]:
    errors: list[str | None] = ["it could not be read"] * len(crystals)
    values = np.full((len(crystals), 61), np.nan)
    todo = [i for i, crystal in enumerate(crystals) if crystal is not None]
    items = (crystals[i] for i in todo)
    for outcome in executor.imap(structure_fingerprint, items, progress=progress):
        errors[todo[outcome.index]] = outcome.error
        if outcome.error is None:
            values[todo[outcome.index]] = outcome.value
    return values, errors


_cached_composition = lru_cache(maxsize=65536)(composition_fingerprint)


def _compositions(crystals: Sequence[Cell | None], able: NDArray[np.bool_]) -> NDArray[np.float64]:
    keys = [
        crystal.formula_key
        for crystal, usable in zip(crystals, able, strict=True)
        if usable and crystal is not None
    ]
    return np.stack([_cached_composition(key) for key in keys])


def _nearest(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance of each row to the nearest row of the other array, both ways."""
    from scipy.spatial.distance import cdist

    nearest1 = np.full(len(first), np.inf)
    nearest2 = np.full(len(second), np.inf)
    for start in range(0, len(first), 512):  # bounded memory
        block = cdist(first[start : start + 512], second)
        nearest1[start : start + 512] = block.min(axis=1)
        nearest2 = np.minimum(nearest2, block.min(axis=0))
    return nearest1, nearest2
