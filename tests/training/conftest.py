"""A small data set to train on, and small models."""

from __future__ import annotations

from pathlib import Path

import pytest

from crystal_ldm.data import CrystalDataset, load_dataset
from crystal_ldm.training import TrainingSettings, fit
from crystal_ldm.training.experiment import build_module, load_experiment
from crystal_ldm.vae_module import VAEModule

SETTINGS = TrainingSettings(batch_size=32, log_every=5, validate_every=10, precision="float32")
SIZE = {"hidden_size": 32, "depth": 1, "num_heads": 2}


def vae_config(max_steps: int) -> dict:
    return {
        "_target_": "VAEModule",
        "encoder": {"_target_": "Encoder", **SIZE},
        "decoder": {"_target_": "Decoder", **SIZE},
        "optimizer": {"_target_": "Optimizer", "max_steps": max_steps, "warmup_steps": 5},
    }


def new_vae(max_steps: int) -> VAEModule:
    vae: VAEModule = build_module(vae_config(max_steps), "vae_module")
    return vae


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> CrystalDataset:
    """144 rock salts (some of them antifluorites, of three atoms) with a made-up gap."""
    from pymatgen.core import Lattice, Structure

    cations = ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Sc", "Y", "La"]
    anions = ["H", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"]
    folder = tmp_path_factory.mktemp("rock_salts")
    rows = ["material_id,band_gap"]
    for i, cation in enumerate(cations):
        for j, anion in enumerate(anions):
            lattice = Lattice.cubic(4.5 + 0.1 * i + 0.05 * j)
            sites = [[0.25] * 3, [0, 0, 0]] if j % 4 == 0 else [[0, 0, 0], [0.5] * 3]
            structure = Structure.from_spacegroup("Fm-3m", lattice, [cation, anion], sites)
            structure.to(str(folder / f"{cation}{anion}.cif"))
            rows.append(f"{cation}{anion},{0.3 * j}")
    (folder / "properties.csv").write_text("\n".join(rows))
    return load_dataset(folder, cache_dir=folder / "cache", progress=False, workers=1)


@pytest.fixture(scope="session")
def trained_vae(dataset: CrystalDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("vae")
    fit(new_vae(40), dataset, run, SETTINGS)
    return run


def small_ldm(max_steps: int, experiment: str = "oqmd_icsd/ldm_joint") -> dict:
    overrides = [f"ldm_module.denoiser.{k}={v}" for k, v in SIZE.items()]
    overrides += [f"ldm_module.optimizer.max_steps={max_steps}"]
    overrides += ["ldm_module.optimizer.warmup_steps=5"]
    return load_experiment(experiment, overrides, seed=3)["ldm_module"]
