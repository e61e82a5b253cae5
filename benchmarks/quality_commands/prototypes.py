"""Element distances: which prototype is nearest, and is it the right one?"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element
from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability

from benchmarks.quality_commands.shared import Row, held_out, request_of, sampling
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import atomic_number, element_distances, symbols
from crystal_ldm.crystals.prototype_search import Prototype, PrototypeSearch
from crystal_ldm.evaluate import csp_metrics, match_pairs
from crystal_ldm.ldm_module import LDMModule

Distances = NDArray[np.float64]


def prototypes(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Compare element distances by the nearest prototypes of held-out formulas, as they are.

    Difference: of the matches from those of today's distance, with its standard error. Where it is
    above that, the model starts from these prototypes, too (`match@1` with `--preset predict`).
    """
    batch = held_out(options, model.vae)
    known, truth = model.training_crystals.crystals, batch.to_structures()
    right: dict[str, NDArray[np.float64]] = {}
    results: dict[tuple[int, int, tuple[tuple[int, int], ...]], float] = {}
    table: list[Row] = []
    for name, distances in candidates().items():
        search = PrototypeSearch(known, distances)
        nearest = [_nearest(search, batch, i) for i in range(len(batch))]
        keys = {(i, p.row, tuple(sorted(p.replaced.items()))): p for i, p in nearest if p}
        new = {key: p for key, p in keys.items() if key not in results}
        if new:
            made = CrystalBatch.from_cells([search.cell(p) for p in new.values()])
            wanted = [truth[key[0]] for key in new]
            pairs = match_pairs(made, wanted, workers=options.workers)
            results |= dict(zip(new, map(float, pairs.rmse), strict=True))
        rmse = np.full(len(batch), np.nan)
        rmse[[key[0] for key in keys]] = [results[key] for key in keys]
        right[name] = (~np.isnan(rmse)).astype(float)
        difference = right[name] - right["today"]
        error = float(difference.std() / len(batch) ** 0.5)
        row: Row = {"distance": name, "n": len(batch), "nearest matches": right[name].mean()}
        row |= {"rmse": np.nanmean(rmse), "difference": difference.mean(), "±": error}
        if name == "today" or difference.mean() > error:
            model.training_crystals.search = search
            result = model.sample(request_of(batch), 1, **sampling(options))
            groups = [[one] for one in result.to_structures()]
            metrics = csp_metrics(groups, truth, ks=[1], workers=options.workers)
            row |= {"match@1": metrics.value("match_rate", 1), "rmse@1": metrics.value("rmse", 1)}
        table.append(row)
    return table


def _nearest(search: PrototypeSearch, batch: CrystalBatch, i: int) -> tuple[int, Prototype | None]:
    numbers = batch.atomic_numbers[i, : int(batch.num_atoms[i])].numpy()
    return i, next(iter(search.nearest(numbers, 1)), None)


def candidates() -> dict[str, Distances]:
    """Return element distances (119, 119) by name, today's first."""
    today, ions = element_distances(), substitution_distances()
    places = np.array([_mendeleev_number(z) for z in range(len(symbols()))])
    alone = np.abs(places[:, None] - places[None]) + 1e-6 * (1 - np.eye(len(places)))
    found = {"today": today, "Mendeleev number": alone, "substitution probabilities": ions}
    for weight in (0.2, 0.5, 1.0):
        found[f"today and {weight:g} of these"] = _scaled(today) + weight * _scaled(ions)
    return found


def _mendeleev_number(z: int) -> float:
    return float(Element.from_Z(z).mendeleev_no or 50.0) if z else 0.0


def substitution_distances() -> Distances:
    """Return distances from how often ions take each other's places in the ICSD.

    The pair probabilities of Hautier et al. (Inorg. Chem. 50, 656 (2011), eq. 3) are summed over
    the oxidation states of both elements; g = log p(a, b) / p(a) p(b), and the distance is that of
    the kernel g: (g(a, a) + g(b, b)) / 2 − g(a, b).
    """
    model = SubstitutionProbability()
    joint = np.zeros((len(symbols()), len(symbols())))
    for first in model.species:
        for second in model.species:
            pair = atomic_number(first.symbol), atomic_number(second.symbol)
            joint[pair] += model.prob(first, second)
    single = joint.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        g = np.log(joint / single[:, None] / single[None])
    own = np.diag(g)
    return _completed((own[:, None] + own[None]) / 2 - g)


def _completed(distances: Distances) -> Distances:
    """Return distances with those of elements that have none from a line through today's."""
    today, known = element_distances(), np.isfinite(distances)
    off = known & ~np.eye(len(today), dtype=bool)
    slope, offset = np.polyfit(today[off], distances[off], 1)
    whole = np.maximum(np.where(known, distances, slope * today + offset), 1e-6)
    np.fill_diagonal(whole, 0.0)
    return whole


def _scaled(distances: Distances) -> Distances:
    return distances / np.median(distances[distances > 0])
