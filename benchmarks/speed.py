"""Speed of training and sampling on crystals of ten atoms, with everything that they include."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.machine import best_time, training_gflop
from crystal_ldm.config import load_config
from crystal_ldm.config.typed import instantiate
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import load_dataset
from crystal_ldm.evaluate import evaluate
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.compile import compile_blocks
from crystal_ldm.random import torch_generator
from crystal_ldm.training.batches import StepStream
from crystal_ldm.training.experiment import build_module

Row = dict[str, Any]
NUM_ATOMS = 10
CONDITIONS = {
    "composition": {"_target_": "Composition"},
    "band_gap": {"_target_": "ScalarCondition", "unit": "eV", "minimum": 0.0},
}


def random_crystals(count: int, num_atoms: int = NUM_ATOMS) -> CrystalBatch:
    """Return crystals of random atoms: what they are does not change how long they take."""
    generator = torch_generator(0)
    return CrystalBatch(
        atomic_numbers=torch.randint(3, 60, (count, num_atoms), generator=generator),
        num_atoms=torch.full((count,), num_atoms),
        frac_coords=torch.rand(count, num_atoms, 3, generator=generator),
        lattices=6 * torch.eye(3) + torch.rand(count, 3, 3, generator=generator),
        conditions={"band_gap": torch.linspace(0, 5, count)},
    )


def new_ldm(name: str) -> LDMModule:
    """Return an untrained LDM of a named size, with composition and band gap as conditions."""
    vae = load_config("vae_module/vae_dng")
    config = {**load_config(f"ldm_module/{name}"), "vae": vae, "conditions": CONDITIONS}
    ldm = instantiate(config)
    crystals = random_crystals(512)
    ldm.vae.set_data(crystals, {})
    ldm.set_data(crystals, {"num_atoms_histogram": [0] * NUM_ATOMS + [1]})
    return ldm


def training_step(
    ldm: LDMModule, precision: str, batch_size: int = 128, num_atoms: int = NUM_ATOMS
) -> Callable[[], int]:
    """Return a training step of an LDM: batch, loss, backward, clipping, AdamW, running mean."""
    items = ldm.train().training_items(random_crystals(4 * batch_size, num_atoms))
    optimizer = ldm.configure_optimizers()["optimizer"]
    turns = itertools.count()

    def step() -> int:
        rows = torch.arange(4 * batch_size).roll(next(turns) * batch_size)[:batch_size]
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = ldm.calculate_loss(items[rows], torch_generator(0))["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(ldm.network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ldm.ema.update_parameters(ldm.network)
        return batch_size

    return step


def training(
    name: str,
    batch_size: int,
    precision: str,
    peak: float,
    num_atoms: int = NUM_ATOMS,
    compile: bool = False,
) -> Row:
    """Return the rate of whole training steps, see `training_step`."""
    ldm = new_ldm(name)
    if compile:
        compile_blocks(ldm)
    seconds = best_time(training_step(ldm, precision, batch_size, num_atoms), repeats=4)
    achieved = batch_size * training_gflop(ldm.network.denoiser, num_atoms) / seconds
    return {
        "what": f"train LDM {name}{', compiled' if compile else ''}",
        "precision": precision,
        "batch": batch_size,
        "crystals/s": batch_size / seconds,
        "GFLOP/s": achieved,
        "share of peak": achieved / peak,
    }


def vae_training(batch_size: int, precision: str) -> Row:
    """Return the rate of VAE training steps."""
    vae = build_module(load_config("vae_module/vae_dng"), "vae_module").train()
    crystals = random_crystals(batch_size)
    vae.set_data(crystals, {})
    optimizer = vae.configure_optimizers()["optimizer"]

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = vae.calculate_loss(crystals)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    seconds = best_time(step, repeats=4)
    return {
        "what": "train VAE vae_dng",
        "precision": precision,
        "batch": batch_size,
        "crystals/s": batch_size / seconds,
    }


def sampling(
    ldm: LDMModule,
    name: str,
    steps: int,
    scale: float,
    precision: str,
    sampler: str = "ddim",
    count: int = 256,
    compile: bool = False,
) -> Row:
    """Return the rate of sampling with decoding, from a request to crystals."""
    request = CrystalBatch.from_formulas(["Ca2Ti2O6"], band_gap=[2.0])
    options: dict[str, Any] = {
        "sampler": sampler,
        "sampling_steps": steps,
        "cfg_scale": scale,
        "precision": precision,
        "compile": compile,
    }
    seconds = best_time(lambda: ldm.sample(request, count, **options), repeats=2)
    return {
        "what": f"sample {name}{', compiled' if compile else ''}",
        "precision": precision,
        "batch": "auto",
        "sampler": sampler,
        "steps": steps,
        "cfg_scale": scale,
        "crystals/s": count / seconds,
    }


def data_loading() -> list[Row]:
    """Return how fast the default data set opens, is read in batches, and is fed to training."""
    seconds = best_time(lambda: load_dataset("oqmd_icsd", progress=False), repeats=3)
    dataset = load_dataset("oqmd_icsd", progress=False)
    rows = dataset.indices("train")
    crystals = dataset.batch(rows)
    stream = iter(StepStream(crystals, crystals.num_atoms.numpy(), 64, seed=0))
    next(stream)
    batches = 50
    return [
        {"what": "open oqmd_icsd from its cache", "seconds": seconds},
        {
            "what": "read the training set into memory",
            "crystals/s": len(rows) / best_time(lambda: dataset.batch(rows), repeats=3),
        },
        {
            "what": "training batches of 64",
            "crystals/s": 64
            * batches
            / best_time(lambda: [next(stream) for _ in range(batches)], repeats=3),
        },
    ]


def evaluation(count: int = 400) -> Row:
    """Return the rate of `evaluate` on real crystals with a reference set, on all cores."""
    dataset = load_dataset("oqmd_icsd", progress=False)
    crystals = dataset.batch(dataset.indices("val")[:count]).to_structures()
    reference = dataset.batch(dataset.indices("test")).to_structures()
    started = time.perf_counter()
    evaluate(crystals, reference=reference)
    return {"what": "evaluate", "crystals/s": len(crystals) / (time.perf_counter() - started)}


def start_to_first_crystal() -> Row:
    """Return the time from a fresh Python process to the first crystal of the shipped model."""
    code = (
        "import crystal_ldm; from crystal_ldm.crystals import CrystalBatch;"
        "m = crystal_ldm.load_pretrained();"
        "m.sample(CrystalBatch.from_formulas(['SrTiO3'], band_gap=[2.0])).to_structures()"
    )
    return {"what": "start to first crystal", "seconds": _process(code)}


def import_time() -> Row:
    """Return the time that `import crystal_ldm` adds to starting Python."""
    return {"what": "import crystal_ldm", "seconds": _process("import crystal_ldm") - _process("0")}


def _process(code: str) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return float(np.min(times))
