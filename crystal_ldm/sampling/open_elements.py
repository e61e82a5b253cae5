"""Filling in the atoms that a request leaves open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import is_charge_balanced, names_an_anion
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.composition_model.draw import draw_compositions
from crystal_ldm.ldm_module.composition_model.network import CompositionModel
from crystal_ldm.ldm_module.condition.base import given_names
from crystal_ldm.ldm_module.guidance import passes
from crystal_ldm.sampling.elements import Elements
from crystal_ldm.sampling.plan import Draft

Unwanted = Callable[[NDArray[np.int64], NDArray[np.int64], int], bool]
REDRAWS = 100
FOR_CHARGES = 50
"""Of these, how many look for charges in balance: what is asked for by name goes before that."""


def draw_elements(
    model: CompositionModel,
    drafts: Sequence[Draft],
    request: CrystalBatch,
    allowed: Tensor,
    encoded: Mapping[str, Tensor],
    scales: Mapping[str, float],
    temperature: float = 1.0,
    unwanted: Unwanted | None = None,
) -> tuple[Tensor, Tensor]:
    """Complete drafts in place; return their elements, and which of them were asked for (B, N).

    Elements that are required count as given: they are always met.

    Args:
        model: the composition model.
        drafts: with open atoms.
        request: the same as a batch.
        allowed: (B, 119) bool, what open atoms may become.
        encoded: encoded conditions of the request by name, in the order of guidance.
        scales: guidance scale of each condition.
        temperature: see `draw_compositions`.
        unwanted: called with atomic numbers (n,), those of them that were asked for, else 0, and
            how often they were drawn again; a composition for which it is true is drawn again, at
            most `REDRAWS` times, if it has open atoms at all; without a temperature, which would
            draw the same again, at one of 1.
    """
    names = given_names(encoded)
    fixed = request.atomic_numbers.cpu().clone()
    for row, draft in zip(fixed, drafts, strict=True):
        missing = torch.tensor(draft.missing, dtype=row.dtype)
        places = (row[: len(draft.atomic_numbers)] == 0).nonzero().flatten()
        row[places[: len(missing)]] = missing

    def draw(rows: Tensor, temperature: float) -> Tensor:
        return draw_compositions(
            model,
            fixed[rows],
            request.num_atoms.cpu()[rows],
            allowed.cpu()[rows],
            {name: values.cpu()[rows] for name, values in encoded.items()},
            names,
            passes([scales[name] for name in names]),
            [drafts[row].generator for row in rows.tolist()],
            temperature,
        )

    drawn = draw(torch.arange(len(drafts)), temperature)
    rows = ((fixed == 0) & request.mask.cpu()).any(dim=1).nonzero().flatten()
    for redraws in range(REDRAWS if unwanted is not None else 0):
        sizes = request.num_atoms.cpu()[rows].tolist()
        again = [
            unwanted(numbers[:size].numpy(), given[:size].numpy(), redraws)  # type: ignore[misc]
            for numbers, given, size in zip(drawn[rows], fixed[rows], sizes, strict=True)
        ]
        rows = rows[torch.tensor(again, dtype=torch.bool)]
        if not len(rows):
            break
        drawn[rows] = draw(rows, temperature or 1.0)
    asked = torch.zeros_like(drawn)
    for i, draft in enumerate(drafts):
        size = len(draft.atomic_numbers)
        draft.complete(drawn[i, :size].numpy())
        asked[i, :size] = torch.from_numpy(draft.asked)
    return drawn.to(request.atomic_numbers.device), asked.to(request.atomic_numbers.device)


def unwanted_formulas(ldm: LDMModule, elements: Elements) -> Unwanted | None:
    """Return what tells the compositions that settings rule out; None if they rule out none."""
    farthest = elements.max_distance_to_known
    if not elements.about_training_set and not elements.charge_balanced:
        return None

    def unwanted(numbers: NDArray[np.int64], asked: NDArray[np.int64], redraws: int) -> bool:
        balance = elements.charge_balanced and redraws < FOR_CHARGES and names_an_anion(asked)
        if balance and not is_charge_balanced(numbers):
            return True
        if not elements.about_training_set:
            return False
        if ldm.training_crystals.rows_of(torch.from_numpy(numbers)[None])[0]:
            return elements.new_formula
        if farthest is None:
            return False
        nearest = ldm.training_crystals.search.nearest(numbers, 1)
        return not nearest or nearest[0].distance > farthest

    return unwanted
