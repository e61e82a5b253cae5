"""Train a tiny VAE and a tiny LDM: `python train_together.py DATASET FOLDER PROCESSES VAE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from crystal_ldm.config import instantiate
from crystal_ldm.data import CrystalDataset
from crystal_ldm.training import TrainingSettings, fit
from crystal_ldm.training.experiment import build_module, load_experiment

SIZE = {"hidden_size": 16, "depth": 1, "num_heads": 2}
STEPS = 8
# 25 crystals in a batch, of 2 and 3 atoms: the shares of two processes differ in number and size.
SETTINGS = TrainingSettings(batch_size=25, log_every=2, validate_every=4, precision="float32")


def train(dataset: Path, folder: Path, processes: int, vae: Path) -> None:
    """Train a VAE in `folder`/vae, and an LDM on the latents of `vae` in `folder`/ldm."""
    data = CrystalDataset.open(dataset)
    options: dict[str, Any] = {"progress": False}
    if processes > 1:
        options |= {"accelerator": "cpu", "devices": processes, "strategy": "ddp"}
    steps = {"_target_": "Optimizer", "max_steps": STEPS, "warmup_steps": 3}
    config = {
        "_target_": "VAEModule",
        "encoder": {"_target_": "Encoder", **SIZE},
        "decoder": {"_target_": "Decoder", **SIZE},
        "optimizer": steps,
        "latent_noise": 0.1,
    }
    torch.manual_seed(0)
    module = instantiate(config)
    module.config = config
    fit(module, data, folder / "vae", SETTINGS, **options)

    overrides = [f"ldm_module.denoiser.{key}={value}" for key, value in SIZE.items()]
    overrides += [f"ldm_module.optimizer.max_steps={STEPS}", "ldm_module.optimizer.warmup_steps=3"]
    experiment = load_experiment("oqmd_icsd/ldm_joint", overrides, seed=3)["ldm_module"]
    torch.manual_seed(0)
    ldm = build_module(experiment, "ldm_module", vae_ckpt=vae)
    fit(ldm, data, folder / "ldm", SETTINGS, **options)


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
