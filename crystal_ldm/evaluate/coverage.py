"""Coverage by fingerprints: recall and precision (CDVAE, Xie et al. 2022, 5.2 and appendix G.2).

Structure: CrystalNN fingerprint with local structure order parameters (Zimmermann & Jain 2020),
averaged over sites, 61 numbers, as matminer's preset "ops". Composition: statistics of 22 elemental
properties (Magpie, Ward et al. 2016), 132 numbers, as matminer's preset "magpie"; the table of
properties is the one that SMACT carries.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell, FormulaKey
from crystal_ldm.crystals.geometry.bonds import CROWDED
from crystal_ldm.parallel import Executor

if TYPE_CHECKING:
    from pymatgen.analysis.local_env import CrystalNN, LocalStructOrderParams


def coverage(
    generated: Sequence[Cell | None],
    reference: Sequence[Cell | None],
    structure_cutoff: float,
    composition_cutoff: float,
    executor: Executor,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[str | None]]:
    """Return coverage both ways, with the nearest structure and composition, as CDVAE does.

    A crystal is near a set if its nearest structure fingerprint there is within `structure_cutoff`
    and its nearest composition fingerprint, possibly another crystal's, within
    `composition_cutoff`. Composition fingerprints are standardised with mean and standard deviation
    of the reference set (CDVAE stores constants of its training data), so that numbers come close
    to published ones only for a reference set like the one that they were published for.

    Returns:
        For each generated crystal whether the reference set is near it; for each reference whether
        the generated set is near it; and for each generated crystal why it has no fingerprint (it
        is not covered).
    """
    first, errors = _fingerprints(generated, executor)
    second, reference_errors = _fingerprints(reference, executor)
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
    return covered, found, errors


def _fingerprints(
    crystals: Sequence[Cell | None], executor: Executor
) -> tuple[NDArray[np.float64], list[str | None]]:
    errors: list[str | None] = ["it could not be read"] * len(crystals)
    values = np.full((len(crystals), 61), np.nan)
    for outcome in executor.imap(structure_fingerprint, crystals, label="coverage"):
        errors[outcome.index] = outcome.error
        if outcome.error is None:
            values[outcome.index] = outcome.value
    return values, errors


def _compositions(crystals: Sequence[Cell | None], able: NDArray[np.bool_]) -> NDArray[np.float64]:
    usable = compress(crystals, able)
    return np.stack([composition_fingerprint(cell.formula_key) for cell in usable if cell])


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


_MAX_COORDINATION = 24


@lru_cache(maxsize=1)
def _order_parameters() -> tuple[CrystalNN, dict[int, list[LocalStructOrderParams]]]:
    from pymatgen.analysis.local_env import CN_OPT_PARAMS, CrystalNN, LocalStructOrderParams

    # Zimmermann & Jain 2020, table 1.
    parameters: dict[int, list[LocalStructOrderParams]] = {}
    for coordination in range(1, 13):
        motifs: list[Any] = [["sgl_bd"]] if coordination == 1 else []
        motifs += CN_OPT_PARAMS.get(coordination, {}).values()
        motifs += [["q2"], ["q4"], ["q6"]] if coordination >= 9 else []
        parameters[coordination] = [
            LocalStructOrderParams(motif[:1], parameters=motif[1:2] or [None]) for motif in motifs
        ]
    return CrystalNN(), parameters


def structure_fingerprint(crystal: Cell) -> NDArray[np.float64]:
    """Return the site-averaged CrystalNN fingerprint, (61,).

    Raises:
        ValueError: if the atoms are so crowded that the search for neighbours may never end.
    """
    if crystal.volume < CROWDED * len(crystal):
        raise ValueError(f"less than {CROWDED:g} Å³ for each atom")
    with warnings.catch_warnings():  # that elements without a known ionic radius get another one
        warnings.simplefilter("ignore")
        return _structure_fingerprint(crystal.to_structure())


def _structure_fingerprint(structure: Any) -> NDArray[np.float64]:
    finder, parameters = _order_parameters()
    sites = []
    for index in range(len(structure)):
        data = finder.get_nn_data(structure, index)
        values: list[float] = []
        for coordination in range(1, _MAX_COORDINATION + 1):
            weight = data.cn_weights.get(coordination, 0)
            values.append(weight)
            for parameter in parameters.get(coordination, []):
                if not weight:
                    values.append(0.0)
                    continue
                neighbours = [entry["site"] for entry in data.cn_nninfo[coordination]]
                cluster: Any = [structure[index], *neighbours]
                order = parameter.get_order_parameters(
                    cluster,
                    0,
                    indices_neighs=list(range(1, len(neighbours) + 1)),
                )[0]
                values.append(weight * order if order else 0.0)
        sites.append(values)
    mean: NDArray[np.float64] = np.asarray(sites, dtype=np.float64).mean(axis=0)
    return mean


@lru_cache(maxsize=1)
def _magpie() -> dict[int, NDArray[np.float64]]:
    import smact
    from pymatgen.core import Element

    file = Path(smact.__file__).parent / "data" / "magpie.csv"
    table = pd.read_csv(file, index_col="element", keep_default_na=False, na_values=[""])
    return {
        Element(symbol).Z: values
        for symbol, values in zip(table.index, table.to_numpy(np.float64), strict=True)
    }


@lru_cache(maxsize=65536)
def composition_fingerprint(key: FormulaKey) -> NDArray[np.float64]:
    """Return minimum, maximum, range, mean, average deviation and mode of 22 properties, (132,).

    Properties that are not tabulated for an element are nan.
    """
    table = _magpie()
    unknown = np.full(len(next(iter(table.values()))), np.nan)
    properties = np.stack([table.get(z, unknown) for z, _ in key])
    weights = np.array([count for _, count in key], dtype=np.float64)
    weights /= weights.sum()
    mean = weights @ properties
    deviation = weights @ np.abs(properties - mean)
    most = properties[weights == weights.max()].min(axis=0)  # the smallest value wins a tie
    low, high = properties.min(axis=0), properties.max(axis=0)
    return np.concatenate([low, high, high - low, mean, deviation, most])
