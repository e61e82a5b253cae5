"""A user's default number type changes no crystal."""

from __future__ import annotations

import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.pretrained import load_pretrained


def test_crystals_are_the_same_with_float64_as_default() -> None:
    def sample() -> torch.Tensor | None:
        request = CrystalBatch.from_formulas("NaCl", band_gap=2.0)
        options = {"sampling_steps": 2, "seed": 1}
        return load_pretrained().sample(request, 2, **options).crystals.lattices

    expected = sample()
    torch.set_default_dtype(torch.float64)
    try:
        lattices = sample()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert expected is not None and lattices is not None and torch.equal(lattices, expected)
