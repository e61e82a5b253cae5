"""Training a shipped model on: `python -m benchmarks.further_training`.

    python -m benchmarks.further_training --model OLD --data-dir DIR --out NEW

The crystals of a data set are joined by those of the model's earlier trainings, which it forgets
while it is trained on one data set alone; large cells come more often, and the space group is
mostly given, since it is large cells that miss the group that is asked for. What is written is the
mean of the weights before and after (`average_models`): the training makes a model more varied and
less sure, and the mean keeps the better of both. The shipped `mp_20` was made so, in 45 minutes of
one CPU core; VAE, composition model and training crystals stay as they are.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.quality_commands.shared import load_model
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.padding import pad
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP
from crystal_ldm.data import load_dataset
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.latents import LatentBatch
from crystal_ldm.ldm_module.training_crystals import unlike
from crystal_ldm.nn.average import running_average
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.nn.optimizer import Optimizer
from crystal_ldm.random import crystal_generator, torch_generator
from crystal_ldm.training.batches import bucketed_batches
from crystal_ldm.training.starting_model import average_models

DATA_SET_WEIGHT = 1.5
"""How much more often a crystal of the data set comes than one of earlier trainings."""
DROPPED = {SPACE_GROUP: 0.15, "band_gap": 0.5}
OPEN, PARTLY_OPEN = 0.08, 0.1
"""Shares of crystals whose elements, all or some, are left open."""
_REPORTED = 500


def crystals_of(ldm: LDMModule, dataset: str, data_dir: str | None) -> tuple[LatentBatch, int]:
    """Return the latents of a data set's training crystals and of those of earlier trainings that
    none of them is like, and how many are the data set's."""
    table = load_dataset(dataset, data_dir)
    own = table.batch(table.indices("train"))
    own = own[ldm.representable(own).nonzero().flatten()]
    known = ldm.training_crystals
    rows = unlike(known.crystals, own)
    earlier = known.crystals[torch.tensor(rows)]
    groups = [known.space_group(row) for row in rows]
    earlier.conditions[SPACE_GROUP] = [None if g is None else float(g) for g in groups]
    parts = [ldm.training_items(own), ldm.training_items(earlier)]
    width = max(part.latents.shape[1] for part in parts)
    joined = LatentBatch(
        CrystalBatch.cat([part.crystals for part in parts]),
        torch.cat([pad(part.latents, width) for part in parts]),
        {name: torch.cat([part.encoded[name] for part in parts]) for name in parts[0].encoded},
    )
    return joined, len(own)


def train_on(
    ldm: LDMModule, items: LatentBatch, of_data_set: int, steps: int, batch_size: int = 64
) -> None:
    """Train a model's denoiser and conditions, its averaged weights among them."""
    ldm.dropout, ldm.ema_decay = 0.15, 0.9985
    ldm.ema = running_average(ldm.network, ldm.ema_decay)
    for name, condition in ldm.network.properties.items():
        condition.dropout = DROPPED.get(name, 0.5)
    if ldm.network.composition is not None:
        ldm.network.composition.dropout, ldm.network.composition.partial = OPEN, PARTLY_OPEN
    sizes = items.crystals.num_atoms.numpy().astype(float)
    weights = sizes * np.where(np.arange(len(sizes)) < of_data_set, DATA_SET_WEIGHT, 1.0)
    crystals = crystal_generator(ldm.seed).choice(
        len(sizes), steps * batch_size, p=weights / weights.sum()
    )
    trained = [p for p in ldm.network.parameters() if p.requires_grad]
    made = Optimizer(5e-4, warmup_steps=300, max_steps=steps).build(trained)
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    ldm.train()
    for step, rows in enumerate(bucketed_batches(sizes[crystals], batch_size, ldm.seed)):
        batch = items[torch.as_tensor(crystals[rows])]
        loss = ldm.calculate_loss(batch, torch_generator(ldm.seed, 1, step))["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        ldm.after_step(step + 1)
        if (step + 1) % _REPORTED == 0:
            print(f"step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)


def main() -> None:
    """Train, and write the mean of the weights before and after."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mp_20", help="a shipped model's name or a file")
    parser.add_argument("--dataset", default="mp_20")
    parser.add_argument("--data-dir")
    parser.add_argument("--steps", type=int, default=8500)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--out", required=True, help="the safetensors file to write")
    options = parser.parse_args()
    ldm = load_model(options.model)
    assert isinstance(ldm, LDMModule)
    ldm.seed = options.seed
    items, of_data_set = crystals_of(ldm, options.dataset, options.data_dir)
    earlier = len(items) - of_data_set
    print(f"{of_data_set} crystals of the data set, {earlier} of earlier trainings")
    train_on(ldm, items, of_data_set, options.steps)
    with tempfile.TemporaryDirectory() as folder:
        after = Path(folder) / "after.safetensors"
        save_safetensors(ldm, after)
        average_models([options.model, after], options.out)


if __name__ == "__main__":
    main()
