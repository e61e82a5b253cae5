"""Formulas that a model has not been trained on, to ask it for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.random import crystal_generator
from crystal_ldm.vae_module.vocabulary import representable

if TYPE_CHECKING:
    from crystal_ldm.data import CrystalDataset


def held_out_crystals(dataset: CrystalDataset, model: Any) -> CrystalBatch:
    """Return the test set's crystals that a model can represent; if there are none, other ones.

    In a very small data set the model may know no crystal of the test set, and then those of the
    validation set, in the last case of the training set are returned.

    Args:
        dataset: that the model was trained on.
        model: its `elements` and `max_atoms` say which crystals it knows.
    """
    for part in ("test", "val", "train"):
        crystals = dataset.batch(dataset.indices(part))
        usable = representable(crystals, tuple(model.elements), model.max_atoms)
        crystals = crystals[usable.nonzero().flatten()]
        if len(crystals):
            break
    return crystals


def held_out_request(dataset: CrystalDataset, model: Any, count: int = 8) -> CrystalBatch | None:
    """Return up to `count` held-out formulas; None if the model takes no compositions."""
    if "composition" not in model.conditions:
        return None
    crystals = held_out_crystals(dataset, model)
    rows = torch.as_tensor(crystal_generator(0).permutation(len(crystals))[:count])
    return CrystalBatch(crystals.atomic_numbers[rows], crystals.num_atoms[rows])
