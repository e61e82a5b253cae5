"""Which elements and sizes a model knows."""

from __future__ import annotations

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import atomic_number, symbols
from crystal_ldm.errors import RequestError


def element_mask(elements: tuple[str, ...]) -> Tensor:
    """Return (119,) bool by atomic number, True for `elements`."""
    mask = torch.zeros(len(symbols()), dtype=torch.bool)
    mask[[atomic_number(symbol) for symbol in elements]] = True
    return mask


def representable(batch: CrystalBatch, elements: tuple[str, ...], max_atoms: int) -> Tensor:
    """Return (B,) bool: which crystals have at most `max_atoms` atoms and only these `elements`."""
    known = element_mask(elements)
    known[0] = True  # padding
    return known[batch.atomic_numbers].all(dim=1) & (batch.num_atoms <= max_atoms)


def check_atoms(batch: CrystalBatch, elements: tuple[str, ...], max_atoms: int) -> None:
    """Raise `RequestError` naming the first crystal with too many atoms or an unknown element."""
    too_many = (batch.num_atoms > max_atoms).nonzero().flatten().tolist()
    if too_many:
        i = too_many[0]
        raise RequestError(
            f"{batch.formulas[i]} with {int(batch.num_atoms[i])} atoms in the cell (row {i}) is "
            f"more than the {max_atoms} that this model handles; ask for a smaller cell."
        )
    known = {atomic_number(symbol) for symbol in elements} | {0}
    unknown = sorted(set(batch.atomic_numbers.unique().tolist()) - known)
    if unknown:
        names = ", ".join(symbols()[z] for z in unknown)
        raise RequestError(
            f"This model was not trained on {names}; the elements that it knows are "
            f"{' '.join(elements)}."
        )
