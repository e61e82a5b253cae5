"""Tracing a step for torch.compile does not change what it computes."""

from __future__ import annotations

import copy

import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.compile import compile_blocks, compiled
from crystal_ldm.random import torch_generator
from tests.conftest import make_tiny_ldm


def test_a_compiled_step_has_the_loss_and_the_gradient_of_a_plain_one(
    known_batch: CrystalBatch,
) -> None:
    plain = make_tiny_ldm(known_batch).train()
    compiled = copy.deepcopy(plain)
    compile_blocks(compiled, backend="aot_eager")  # traced and differentiated; no C++ compiler
    assert list(compiled.state_dict()) == list(plain.state_dict())

    def step(ldm: LDMModule, batch: CrystalBatch) -> tuple[float, torch.Tensor]:
        loss = ldm.calculate_loss(batch, torch_generator(7))["loss"]
        weight = ldm.network.denoiser.blocks[0].mlp[0].weight
        (gradient,) = torch.autograd.grad(loss, weight)
        return loss.item(), gradient

    same_size = known_batch[known_batch.num_atoms == 2]
    for batch in (known_batch, same_size):  # with a mask and without
        (a, slope_a), (b, slope_b) = step(plain, batch), step(compiled, batch)
        assert a == pytest.approx(b, rel=1e-4)
        assert torch.allclose(slope_a, slope_b, rtol=1e-2, atol=1e-4 * slope_a.abs().max().item())


def test_compiled_sampling_gives_the_same_crystals_and_leaves_no_trace(
    tiny_ldm: LDMModule,
) -> None:
    request = CrystalBatch.from_formulas(["SrTiO3", "NaCl"], band_gap=[2.0, None])
    plain = tiny_ldm.sample(request, 2, sampling_steps=3).crystals
    network = tiny_ldm.sampler_network
    with compiled(network, True, backend="aot_eager"):  # traced; no C++ compiler
        fused = tiny_ldm.sample(request, 2, sampling_steps=3).crystals
    assert network.denoiser.blocks[0]._compiled_call_impl is None
    assert torch.equal(plain.atomic_numbers, fused.atomic_numbers)
    assert torch.allclose(plain.lattices, fused.lattices, rtol=1e-3)
