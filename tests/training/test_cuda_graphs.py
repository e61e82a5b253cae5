"""Training steps as CUDA graphs: where there is a card, they compute what plain steps do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import CrystalDataset
from crystal_ldm.errors import ConfigError
from crystal_ldm.ldm_module.diffusion import GaussianDiffusion
from crystal_ldm.training.callbacks import read_metrics
from crystal_ldm.training.cuda_graphs import tensors
from crystal_ldm.training.fit import fit
from crystal_ldm.training.settings import TrainingSettings
from crystal_ldm.vae_module import Decoder, Encoder, VAEModule
from crystal_ldm.vae_module.losses import VAEItems

needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")


def small_vae(steps: int) -> VAEModule:
    sizes = {"hidden_size": 32, "depth": 1, "num_heads": 2, "latent_dim": 4}
    vae = VAEModule(Encoder(**sizes), Decoder(**sizes))
    vae.optimizer = dataclasses.replace(vae.optimizer, max_steps=steps, warmup_steps=2)
    return vae


def test_without_a_card_graphs_are_refused(dataset: CrystalDataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cuda_graphs needs one CUDA GPU.*1 x cpu.*Leave it"):
        settings = TrainingSettings(cuda_graphs=True)
        fit(small_vae(4), dataset, tmp_path / "run", settings, accelerator="cpu")


def test_every_tensor_of_a_batch_is_an_input_of_its_graph(known_batch: CrystalBatch) -> None:
    crystals = CrystalBatch(
        known_batch.atomic_numbers, known_batch.num_atoms, known_batch.frac_coords
    )
    lattice, scale = torch.zeros(len(crystals), 6), torch.ones(len(crystals), 3)
    found = tensors(VAEItems(crystals, lattice, scale))
    wanted = [
        crystals.atomic_numbers, crystals.num_atoms, crystals.frac_coords, lattice, scale
    ]  # fmt: skip
    assert [id(tensor) for tensor in found] == [id(tensor) for tensor in wanted]
    assert tensors({"gap": scale, "note": None}) == [scale]


@needs_card
def test_graphs_change_neither_loss_nor_weights(dataset: CrystalDataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = small_vae(30).state_dict()
    runs = []
    for graphs in (False, True):
        vae = small_vae(30)
        vae.load_state_dict(start)
        run = tmp_path / str(graphs)
        settings = TrainingSettings(batch_size=16, log_every=1, cuda_graphs=graphs)
        fit(vae, dataset, run, settings, progress=False)
        losses = [line["loss"] for line in read_metrics(run / "metrics.jsonl") if "loss" in line]
        runs.append((losses, torch.cat([p.detach().flatten().cpu() for p in vae.parameters()])))
    (plain, weights), (graphed, graphed_weights) = runs
    assert len(plain) == 30
    assert graphed == pytest.approx(plain, rel=1e-4)
    assert torch.allclose(weights, graphed_weights, rtol=1e-3, atol=1e-5)


@needs_card
def test_timesteps_on_a_card_have_the_coefficients_of_those_on_the_processor() -> None:
    diffusion, t = GaussianDiffusion(), torch.tensor([-1, 0, 500, 999])
    here = diffusion.alpha_bar(t.cuda())
    assert here.is_cuda
    assert torch.equal(here.cpu(), diffusion.alpha_bar(t))
