"""The denoiser: adaLN-Zero at the start, padding never matters."""

from __future__ import annotations

import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.denoisers import DiT
from crystal_ldm.nn.layers import Attention, attention_mask
from crystal_ldm.random import torch_generator


def test_an_untrained_dit_predicts_zero() -> None:
    dit = DiT(hidden_size=32, depth=2, num_heads=4)
    x = torch.randn(3, 5, 8, generator=torch_generator(0))
    assert (dit(x, torch.tensor([10]), torch.tensor([5, 5, 5])) == 0).all()


def test_the_default_is_the_published_small_size() -> None:
    dit = DiT()
    assert (dit.hidden_size, len(dit.blocks), dit.blocks[0].attention.num_heads) == (512, 12, 8)
    assert dit.blocks[0].mlp[0].out_features == 4 * 512


def test_padding_never_changes_a_prediction(tiny_ldm: LDMModule) -> None:
    network = tiny_ldm.sampler_network
    request = CrystalBatch.from_formulas(["SrTiO3", "NaCl", "Fe"], band_gap=[1.0, None, 2.0])
    x = torch.randn(3, 5, 8, generator=torch_generator(1))
    t = torch.tensor([300, 300, 300])
    with torch.no_grad():
        embedded = network.embed(request.atomic_numbers, network.encode(request))
        together = network(x, t, request.num_atoms, request.mask, embedded)
        for i, n in enumerate(request.num_atoms.tolist()):
            one = request[[i]]
            embedded = network.embed(one.atomic_numbers, network.encode(one))
            alone = network(x[i : i + 1, :n], t[:1], one.num_atoms, one.mask, embedded)
            assert torch.allclose(together[i, :n], alone[0], atol=1e-5)


def test_each_atom_sees_the_others(tiny_ldm: LDMModule) -> None:
    denoiser = tiny_ldm.sampler_network.denoiser
    x = torch.randn(1, 4, 8, generator=torch_generator(2), requires_grad=True)
    output = denoiser(x, torch.tensor([100]), torch.tensor([4]))
    (gradient,) = torch.autograd.grad(output[0, 0].sum(), x)
    assert (gradient.abs().sum(dim=-1) > 0).all()


def test_crystals_that_share_a_condition_may_share_its_row(tiny_ldm: LDMModule) -> None:
    denoiser = tiny_ldm.sampler_network.denoiser
    generator = torch_generator(3)
    x, conditions = (
        torch.randn(6, 4, 8, generator=generator),
        torch.randn(2, 32, generator=generator),
    )
    rows, sizes, t = torch.tensor([0, 1, 1, 0, 1, 0]), torch.full((6,), 4), torch.tensor([250])
    with torch.no_grad():
        shared = denoiser(x, t, sizes, condition=conditions, rows=rows)
        each = denoiser(x, t, sizes, condition=conditions[rows])
    assert torch.allclose(shared, each, atol=1e-5)
    assert not torch.allclose(shared[0], denoiser(x[:1], t, sizes[:1], condition=conditions[1:])[0])


def test_attention_in_bfloat16_is_that_of_float32() -> None:
    attention = Attention(64, num_heads=4)
    x = torch.randn(5, 7, 64, generator=torch_generator(4))
    mask = torch.arange(7) < torch.tensor([7, 5, 1, 7, 3]).unsqueeze(1)
    for key_mask in (None, attention_mask(mask)):
        exact = attention(x, key_mask)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = attention(x, key_mask)
        assert rounded.dtype == torch.bfloat16
        kept = mask if key_mask is not None else torch.ones_like(mask)
        error = (rounded.float() - exact)[kept].abs().max() / exact[kept].std()
        assert error < 0.1


def test_dropout_leaves_out_channels_and_keeps_the_expectation(tiny_ldm: LDMModule) -> None:
    dit = DiT(hidden_size=32, depth=3, num_heads=4)
    assert dit.dropout_mask(5, 0.0, torch_generator(4)) is None
    keep = dit.dropout_mask(2000, 0.25, torch_generator(4))
    assert keep is not None and keep.shape == (2000, 3, 2, 32)
    assert torch.allclose(keep.unique(), torch.tensor([0, 4 / 3]))
    assert (keep.mean(dim=0) - 1).abs().max() < 0.06

    denoiser = tiny_ldm.sampler_network.denoiser
    x, sizes = torch.randn(2, 4, 8, generator=torch_generator(5)), torch.tensor([4, 4])
    t = torch.tensor([100])
    all_kept, first_dropped = torch.ones(2, 1, 2, 32), torch.ones(2, 1, 2, 32)
    first_dropped[0] = 0
    with torch.no_grad():
        plain = denoiser(x, t, sizes)
        assert torch.equal(denoiser(x, t, sizes, keep=all_kept), plain)
        dropped = denoiser(x, t, sizes, keep=first_dropped)
        # Without its block an atom does not see the others.
        moved = torch.cat([x[:1, :1], x[:1, 1:] + 1], dim=1)
        other = denoiser(moved, t, sizes[:1], keep=first_dropped[:1])
    assert torch.allclose(dropped[1], plain[1], atol=1e-6)
    assert torch.allclose(other[0, 0], dropped[0, 0], atol=1e-6)


def test_dropout_is_for_training_alone(tiny_ldm: LDMModule, known_batch: CrystalBatch) -> None:
    ldm = tiny_ldm
    before = ldm.dropout
    try:
        losses = {}
        for rate in (0.0, 0.5):
            ldm.dropout = rate
            losses[rate, "train"] = ldm.train().calculate_loss(known_batch)["loss"]
            losses[rate, "eval"] = ldm.eval().calculate_loss(known_batch)["loss"]
    finally:
        ldm.dropout = before
    assert losses[0.0, "eval"] == losses[0.5, "eval"]
    assert losses[0.0, "train"] != losses[0.5, "train"]
