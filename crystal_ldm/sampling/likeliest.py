"""Of many crystals of a formula those that its chemical relatives confirm."""

from __future__ import annotations

import numpy as np

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.evaluate.matching import PREDICTION, compare_pairs
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.parallel import Executor

PROTOTYPES = 6
"""How many of the likeliest prototypes crystals are compared with."""
_EACH = 2


def likeliest(crystals: CrystalBatch, known: TrainingCrystals, executor: Executor) -> list[int]:
    """Return the positions of crystals of one formula, the likeliest to be right first.

    A structure that the model makes from noise and that a relative of the formula has, with its
    elements exchanged, was found twice. First come those that match the likeliest prototypes
    (`PrototypeRanking`) by StructureMatcher, the closest of each in turn, then the second closest
    of each; the others follow as they are.

    Args:
        crystals: M crystals of one formula.
        known: the training crystals, where prototypes are looked for.
        executor: compares.
    """
    size = int(crystals.num_atoms[0])
    numbers = crystals.atomic_numbers[0, :size].cpu().numpy()
    prototypes = known.ranking.likeliest(numbers, PROTOTYPES)
    cells = CrystalBatch.from_cells([known.search.cell(one) for one in prototypes])
    made, compared = (read_crystals(batch, allow_empty=True) for batch in (crystals, cells))
    pairs = [(i, j) for j in range(len(compared)) for i in range(len(made))]
    found = compare_pairs(made, compared, pairs, PREDICTION, executor)
    distances = np.array([found[pair][0] for pair in pairs]).reshape(-1, len(made))
    rmse = np.nan_to_num(distances, nan=np.inf)
    first: list[int] = []
    for _ in range(_EACH):
        for of_prototype in rmse:
            closest = int(of_prototype.argmin())
            if np.isfinite(of_prototype[closest]):
                first.append(closest)
                rmse[:, closest] = np.inf
    return [*first, *(i for i in range(len(crystals)) if i not in first)]
