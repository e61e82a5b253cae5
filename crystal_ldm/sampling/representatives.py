"""A few of many crystals that stand for all of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.lattice import lattice_to_log
from crystal_ldm.nn.layers import fractional_features

_ROUNDS = 20
_SAME = 1e-6


def representatives(crystals: CrystalBatch, count: int) -> list[int]:
    """Return the positions of `count` crystals, the most typical of as many clusters.

    For crystals of one formula that a model made: their atoms come in one order. Distances are
    Euclidean, of cos 2πx and sin 2πx of all coordinates and of the cell's logarithm (a strain); the
    clusters are those of k-medoids (Kaufman & Rousseeuw, Finding Groups in Data, 1990), started
    from the most central crystal and then each time the one farthest from those before.
    """
    if len(crystals) <= count:
        return list(range(len(crystals)))
    distances = _distances(crystals)
    medoids = [int(distances.sum(axis=1).argmin())]
    while len(medoids) < count:
        gaps = distances[:, medoids].min(axis=1)
        if gaps.max() < _SAME:
            break
        medoids.append(int(gaps.argmax()))
    for _ in range(_ROUNDS):
        before = list(medoids)
        nearest = distances[:, medoids].argmin(axis=1)
        for i in range(len(medoids)):
            members = np.flatnonzero(nearest == i)
            within = distances[np.ix_(members, members)].sum(axis=1)
            medoids[i] = int(members[within.argmin()])
        if medoids == before:
            break
    sizes = np.bincount(distances[:, medoids].argmin(axis=1), minlength=len(medoids))
    chosen = [medoids[i] for i in np.argsort(-sizes, kind="stable")]
    return [*chosen, *(i for i in range(len(crystals)) if i not in chosen)][:count]


def _distances(crystals: CrystalBatch) -> NDArray[np.float64]:
    assert crystals.frac_coords is not None and crystals.lattices is not None
    shape = len(crystals), -1
    places = fractional_features(crystals.frac_coords.double(), 1)
    places = (places * crystals.mask.unsqueeze(-1)).reshape(shape)
    cells = lattice_to_log(crystals.lattices.double()).reshape(shape)
    features = torch.cat([places, cells], dim=1)
    exact = "donot_use_mm_for_euclid_dist"  # a medoid's distance to itself is 0, not rounding
    return torch.cdist(features, features, compute_mode=exact).numpy()
