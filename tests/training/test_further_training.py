"""A shipped model is trained on with all crystals that it knows."""

from __future__ import annotations

from pathlib import Path

import torch
from pymatgen.core import Structure

from benchmarks.further_training import crystals_of, train_on
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import load_dataset
from tests.conftest import make_tiny_ldm


def test_a_data_set_is_joined_by_the_crystals_that_it_lacks(
    known_crystals: list[Structure], tmp_path: Path
) -> None:
    read = {}
    for name, some in (("known", known_crystals), ("data", known_crystals[:5])):
        (tmp_path / name).mkdir()
        for i, structure in enumerate(some):
            structure.to(str(tmp_path / name / f"{i}.cif"))
        read[name] = load_dataset(tmp_path / name, progress=False, workers=1)
    known = read["known"].batch(range(len(known_crystals)))
    known.conditions["band_gap"] = torch.arange(len(known)).float()
    of_data_set = len(read["data"].indices("train"))
    assert 0 < of_data_set < len(known)
    items, own = crystals_of(make_tiny_ldm(known), str(tmp_path / "data"), None)
    assert own == of_data_set
    formulas = items.crystals.formulas
    assert set(formulas) == set(known.formulas)
    assert set(formulas[:own]).isdisjoint(formulas[own:])  # none is twice
    assert not items.latents.isnan().any()


def test_training_lowers_the_loss_and_leaves_the_vae(known_batch: CrystalBatch) -> None:
    ldm = make_tiny_ldm(known_batch)
    items = ldm.training_items(known_batch)
    vae = {name: tensor.clone() for name, tensor in ldm.vae.state_dict().items()}

    def loss() -> float:
        ldm.eval()
        with torch.no_grad():
            each = [ldm.calculate_loss(items, torch.Generator().manual_seed(i)) for i in range(20)]
        return float(torch.stack([one["loss"] for one in each]).mean())

    ldm.after_step(1)
    before = loss()
    train_on(ldm, items, len(items), steps=400, batch_size=8)
    assert loss() < 0.9 * before
    assert all(torch.equal(vae[name], tensor) for name, tensor in ldm.vae.state_dict().items())
