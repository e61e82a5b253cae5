"""The VAE: closed cells always, padding never matters, checkpoints are exact."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import CheckpointError, RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.random import torch_generator
from crystal_ldm.vae_module import VAEModule
from crystal_ldm.vae_module.losses import kl_divergence


@pytest.fixture
def vae(tiny_ldm: LDMModule) -> VAEModule:
    return tiny_ldm.vae


def test_padding_never_changes_a_latent(vae: VAEModule, known_batch: CrystalBatch) -> None:
    together = vae.encode(known_batch)
    for i in range(len(known_batch)):
        alone = vae.encode(known_batch[i])[0]
        assert torch.allclose(together[i, : len(alone)], alone, atol=1e-5)
        assert (together[i, len(alone) :] == 0).all()


def test_padding_never_changes_a_decoded_crystal(vae: VAEModule, known_batch: CrystalBatch) -> None:
    latents = torch.randn(
        8, known_batch.mask.shape[1], vae.latent_dim, generator=torch_generator(1)
    )
    together = vae.decode(latents, known_batch.num_atoms)
    for i, n in enumerate(known_batch.num_atoms.tolist()):
        alone = vae.decode(latents[i : i + 1, :n], known_batch.num_atoms[i : i + 1])
        assert torch.allclose(together.lattices[i], alone.lattices[0], rtol=1e-4)
        assert torch.equal(together.atomic_numbers[i, :n], alone.atomic_numbers[0])


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3, float("nan")])
def test_anything_decodes_to_closed_cells(
    vae: VAEModule, known_batch: CrystalBatch, scale: float
) -> None:
    shape = (*known_batch.mask.shape, vae.latent_dim)
    latents = torch.randn(shape, generator=torch_generator(2)) * scale
    structures = vae.decode(latents, known_batch.num_atoms).to_structures()
    assert [len(s) for s in structures] == known_batch.num_atoms.tolist()
    assert all(0 < s.volume < 1e9 for s in structures)


def test_the_cells_boundary_is_no_seam(vae: VAEModule, known_batch: CrystalBatch) -> None:
    moved = known_batch[:]
    moved.frac_coords = (moved.frac_coords + 1.0) * moved.mask.unsqueeze(-1)
    assert torch.allclose(vae.encode(moved), vae.encode(known_batch), atol=1e-3)


def test_known_elements_are_imposed(vae: VAEModule, known_batch: CrystalBatch) -> None:
    decoded = vae.decode(vae.encode(known_batch), known_batch.num_atoms, known_batch.atomic_numbers)
    assert torch.equal(decoded.atomic_numbers, known_batch.atomic_numbers)


def test_corrections_bring_a_reconstruction_nearer_to_its_crystal(
    known_batch: CrystalBatch,
) -> None:
    vae = load_pretrained().vae
    real = known_batch[:-1]  # the last one is four atoms thrown into a triclinic cell
    with torch.inference_mode():
        first, last = (_distance(vae.reconstruct(real, count), real) for count in (0, 2))
    assert bool((last <= first + 1e-4).all()) and last.mean() < 0.75 * first.mean()


def _distance(made: CrystalBatch, wanted: CrystalBatch) -> Tensor:
    """Return root mean square displacements, Å, and relative errors of the cell, added, (B,)."""
    assert torch.equal(made.atomic_numbers, wanted.atomic_numbers)
    off = made.frac_coords - wanted.frac_coords
    moved = torch.einsum("bni,bij->bnj", off - off.round(), wanted.lattices)
    rms = (moved.square().sum(dim=(1, 2)) / wanted.num_atoms).sqrt()
    cells = made.lattices - wanted.lattices
    return rms + cells.flatten(1).norm(dim=1) / wanted.lattices.flatten(1).norm(dim=1)


def test_a_correction_is_kept_only_where_the_encoder_agrees_more(
    vae: VAEModule, known_batch: CrystalBatch
) -> None:
    """Latents of no crystal: the iteration need not converge, and must not lead astray."""
    latents = torch.randn(len(known_batch), 6, vae.latent_dim, generator=torch_generator(2))
    latents = latents * known_batch.mask.unsqueeze(-1)
    off = []
    with torch.inference_mode():
        for corrections in (0, 1, 2, 5):
            made = vae.decode(latents, known_batch.num_atoms, corrections=corrections)
            missing = (vae.encode(made) - latents) * known_batch.mask.unsqueeze(-1)
            off.append(missing.square().sum(dim=(1, 2)))
            for i, n in enumerate(known_batch.num_atoms.tolist()):
                counts = known_batch.num_atoms[[i]]
                alone = vae.decode(latents[[i], :n], counts, corrections=corrections)
                assert torch.allclose(alone.lattices[0], made.lattices[i], rtol=1e-3)
    for wrong in (-1, 1.5, True):
        with pytest.raises(RequestError, match="corrections must be a whole number"):
            vae.decode(latents, known_batch.num_atoms, corrections=wrong)
    for before, after in pairwise(off):
        assert bool((after <= before * 1.0001).all())
    assert bool((off[-1] < off[0]).any())


def test_only_known_elements_are_chosen(vae: VAEModule) -> None:
    sampled = vae.sample(torch.full((50,), 7), seed=3)
    chosen = {site.specie.symbol for s in sampled.to_structures() for site in s}
    assert chosen <= set(vae.elements)


def test_kl_divergence_agrees_with_torch() -> None:
    mean, log_variance = torch.randn(2, 3, 5, 4, generator=torch_generator(4))
    mask = torch.ones(3, 5, dtype=torch.bool)
    one = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(one, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(
        kl_divergence(mean, log_variance, mask), expected.sum(-1).mean(1), atol=1e-4
    )


def test_loss_ignores_padding_and_is_the_same_for_the_same_noise(
    vae: VAEModule, known_batch: CrystalBatch
) -> None:
    padded = CrystalBatch.cat([known_batch])
    garbage = ~padded.mask
    padded.frac_coords = padded.frac_coords.masked_fill(garbage.unsqueeze(-1), 0.37)
    first = vae.calculate_loss(known_batch, torch_generator(5))
    second = vae.calculate_loss(padded, torch_generator(5))
    assert torch.allclose(first["loss"], second["loss"], atol=1e-5)


def test_loss_of_prepared_crystals_is_that_of_the_crystals(
    vae: VAEModule, known_batch: CrystalBatch
) -> None:
    rows = torch.tensor([2, 0])
    prepared = vae.training_items(known_batch)[rows]
    first = vae.calculate_loss(known_batch[rows], torch_generator(5))
    second = vae.calculate_loss(prepared, torch_generator(5))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.allclose(value, second[name], rtol=1e-5, atol=1e-7), name


def test_gradients_reach_every_parameter(vae: VAEModule, known_batch: CrystalBatch) -> None:
    import copy

    trained = copy.deepcopy(vae).requires_grad_(True)
    trained.calculate_loss(known_batch)["loss"].backward()
    without = [n for n, p in trained.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_safetensors_round_trip(vae: VAEModule, known_batch: CrystalBatch, tmp_path: Path) -> None:
    save_safetensors(vae, tmp_path / "vae.safetensors", half=False)
    again = VAEModule.load_from_checkpoint(tmp_path / "vae.safetensors")
    assert torch.equal(again.encode(known_batch), vae.encode(known_batch))
    assert again.elements == vae.elements


def test_checkpoints_that_are_no_vae_are_refused(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    path = tmp_path / "ldm.safetensors"
    save_safetensors(tiny_ldm, path)
    with pytest.raises(CheckpointError, match="kind 'ldm'"):
        VAEModule.load_from_checkpoint(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        VAEModule.load_from_checkpoint(path)
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        VAEModule.load_from_checkpoint(tmp_path / "none.ckpt")


def test_unknown_elements_and_large_cells_are_refused(vae: VAEModule) -> None:
    from pymatgen.core import Lattice, Structure

    gold = CrystalBatch.from_structures([Structure(Lattice.cubic(4), ["Au"], [[0, 0, 0]])])
    with pytest.raises(RequestError, match="not trained on Au"):
        vae.encode(gold)
    many = Structure(Lattice.cubic(20), ["Na"] * 21, [[i / 21, i / 7, i / 3] for i in range(21)])
    with pytest.raises(RequestError, match="21 atoms"):
        vae.encode(CrystalBatch.from_structures([many], canonical=False))
