"""What the commands of `quality.py` share: models, held-out crystals, the rows that they print."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import CrystalDataset, load_dataset
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.random import crystal_generator
from crystal_ldm.vae_module import VAEModule
from crystal_ldm.workflow.declared_parameters import keywords_of

Row = dict[str, Any]


def load_model(name: str) -> LDMModule | VAEModule:
    """Return a shipped model, or the LDM or VAE in a file."""
    path = Path(name)
    if not path.exists():
        return load_pretrained(name)
    try:
        return LDMModule.load_from_checkpoint(path)
    except ValueError:
        return VAEModule.load_from_checkpoint(path)


def held_out(options: argparse.Namespace, vae: VAEModule) -> CrystalBatch:
    """Return up to `--num` crystals of `--part` that the model can represent, drawn by `--seed`."""
    dataset = load_dataset(options.dataset, options.data_dir, progress=False)
    whole = options.part == "all"
    chosen = np.arange(len(dataset)) if whole else dataset.indices(options.part)
    if options.unseen:
        seen = set(load_dataset(options.unseen, progress=False).formulas)
        chosen = np.array([i for i in chosen if dataset.formulas[i] not in seen])
    batch = usable(dataset, chosen, vae)
    order = crystal_generator(options.seed, 7).permutation(len(batch))[: options.num]
    return batch[torch.as_tensor(np.sort(order))]


def training_set(options: argparse.Namespace) -> CrystalBatch:
    """Return the crystals of the data set's training set, with their labels."""
    dataset = load_dataset(options.dataset, options.data_dir, progress=False)
    return dataset.batch(dataset.indices("train"))


def usable(dataset: CrystalDataset, rows: np.ndarray, vae: VAEModule) -> CrystalBatch:
    """Return the crystals of `rows` with elements and sizes that the model knows."""
    batch = dataset.batch(rows)
    keep = vae.representable(batch)
    print(
        f"{int(keep.sum())} of {len(batch)} crystals have elements and sizes that the model knows"
    )
    return batch[keep.nonzero().flatten()]


def sampling(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of `LDMModule.sample` that the command line gives."""
    return keywords_of(vars(options))


def request_of(batch: CrystalBatch, formula_units: str = "given") -> CrystalBatch:
    """Return the request for the cell contents of known crystals, or for their reduced formulas.

    Args:
        batch: the crystals.
        formula_units: `given`, those of the crystals; `1`; or `likely`, as the model finds them.
    """
    if formula_units == "given":
        return CrystalBatch(batch.atomic_numbers, batch.num_atoms, ids=batch.ids)
    units = 1 if formula_units == "1" else formula_units
    return CrystalBatch.from_formulas(batch.formulas, units)
