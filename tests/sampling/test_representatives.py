"""A few crystals stand for many: each cluster once, the largest first."""

from __future__ import annotations

import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.representatives import representatives


def noisy(crystal: CrystalBatch, count: int, seed: int) -> CrystalBatch:
    many = crystal[[0] * count]
    noise = torch.randn(many.frac_coords.shape, generator=torch.Generator().manual_seed(seed)).mul(
        0.004
    )
    many.frac_coords = (many.frac_coords + noise) % 1
    return many


def test_each_arrangement_is_found_the_frequent_one_first(known_batch: CrystalBatch) -> None:
    first = known_batch[[0]]
    second, third = known_batch[[0]], known_batch[[0]]
    second.frac_coords = (second.frac_coords + torch.tensor([0.0, 0.0, 0.2])) % 1
    second.frac_coords[0, 0] = first.frac_coords[0, 0]
    third.lattices = third.lattices * torch.tensor([1.0, 1.0, 1.4]).view(1, 3, 1)
    many = CrystalBatch.cat([noisy(second, 3, 1), noisy(first, 20, 2), noisy(third, 6, 3)])
    groups = [0] * 3 + [1] * 20 + [2] * 6
    chosen = representatives(many, 3)
    assert [groups[i] for i in chosen] == [1, 2, 0]
    shift = (many.frac_coords[chosen[0]] - first.frac_coords[0] + 0.5) % 1 - 0.5
    assert float(shift.abs().mean()) < 0.004  # the most typical of its cluster
    assert representatives(many, 3) == chosen
    assert representatives(many, 40) == list(range(29))


def test_of_each_row_as_many_as_asked_for(tiny_ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["SrTiO3", "NaCl"])
    made = tiny_ldm.sample(request, 12, sampling_steps=1, filters=[])
    few = made.representatives(3)
    assert few.row.tolist() == [0] * 3 + [1] * 3
    assert len(set(few.number[:3].tolist())) == 3
    everything = made.representatives(12)
    assert torch.equal(everything.crystals.lattices, made.crystals.lattices)


def test_each_crystal_stands_once(known_batch: CrystalBatch) -> None:
    """Where there are fewer different ones than asked for, others fill up."""
    same = CrystalBatch.cat([known_batch[[0]]] * 30)
    chosen = representatives(same, 4)
    assert len(set(chosen)) == 4
    two = CrystalBatch.cat([known_batch[[0]]] * 20 + [noisy(known_batch[[0]], 1, 0)])
    assert 20 in representatives(two, 3) and len(set(representatives(two, 3))) == 3


def test_the_number_of_representatives_is_checked(tiny_ldm: LDMModule) -> None:
    made = tiny_ldm.sample(CrystalBatch.from_formulas(["NaCl"]), 3, sampling_steps=1)
    for count in (0, 2.5, True):
        with pytest.raises(RequestError, match="count must be a whole number"):
            made.representatives(count)


def test_crystals_of_several_formulas_are_not_compared(tiny_ldm: LDMModule) -> None:
    made = tiny_ldm.sample(CrystalBatch.from_formulas(["Sr???"]), 6, sampling_steps=1)
    assert made.representatives(2).number.tolist() == [0, 1]
