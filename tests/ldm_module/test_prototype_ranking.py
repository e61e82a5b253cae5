"""Prototypes in the order in which they are likely to be right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Structure

from benchmarks.prototype_ranking import Formula, formulas_of, joined, loss_of, some, train
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import load_dataset
from crystal_ldm.errors import CheckpointError, RequestError
from crystal_ldm.evaluate import match_pairs
from crystal_ldm.ldm_module import LDMModule, prototype_ranking
from crystal_ldm.ldm_module.prototype_ranking import RANKED, PrototypeRanking, RankingNet
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.sampling import Prototype


@pytest.fixture(scope="module")
def shipped() -> LDMModule:
    return load_pretrained()


@pytest.fixture(scope="module")
def known(shipped: LDMModule) -> TrainingCrystals:
    return shipped.training_crystals


def held_out(number: int) -> CrystalBatch:
    dataset = load_dataset("oqmd_icsd", progress=False)
    rows = np.random.default_rng(5).permutation(dataset.indices("val"))[:number]
    return dataset.batch(rows)


def cell_contents(batch: CrystalBatch, row: int) -> np.ndarray:
    return batch.atomic_numbers[row, : int(batch.num_atoms[row])].numpy()


def test_the_likeliest_prototype_is_right_more_often_than_the_nearest(
    known: TrainingCrystals,
) -> None:
    """Formulas of the validation set, in no network's training."""
    batch = held_out(250)
    right = {}
    for name, ordered in (("near", known.search.nearest), ("likely", known.ranking.likeliest)):
        first = [ordered(cell_contents(batch, i), 1) for i in range(len(batch))]
        rows = [i for i, one in enumerate(first) if one]
        made = CrystalBatch.from_cells([known.search.cell(first[i][0]) for i in rows])
        truth = batch[rows].to_structures()
        right[name] = int(match_pairs(made, truth, workers=1).matched.sum())
    assert right["likely"] > right["near"]
    assert right["near"] > 0.6 * len(batch)


def test_each_space_group_has_its_likeliest_prototype_first(known: TrainingCrystals) -> None:
    numbers = CrystalBatch.from_formulas(["NaInS2"]).atomic_numbers[0].numpy()
    nearest = known.search.nearest(numbers, RANKED + 20)
    ordered = known.ranking.likeliest(numbers, RANKED + 20)
    assert {one.row for one in ordered} == {one.row for one in nearest}
    assert ordered[RANKED:] == nearest[RANKED:]  # what is not ranked follows as it is
    assert ordered[:3] == known.ranking.likeliest(numbers, 3)
    assert ordered == known.ranking.likeliest(np.random.default_rng(0).permutation(numbers), 44)
    groups = [known.space_group(one.row) for one in ordered[:RANKED]]
    different = len(set(groups))
    assert 1 < different < RANKED
    assert len(set(groups[:different])) == different
    assert groups[0] == 166  # layers of octahedra


def test_there_may_be_nothing_to_rank(known: TrainingCrystals) -> None:
    for formula in ("K?", "Li3Al5B7"):
        numbers = CrystalBatch.from_formulas([formula]).atomic_numbers[0].numpy()
        assert known.ranking.likeliest(numbers, 5) == []
    (only,) = known.ranking.likeliest(
        CrystalBatch.from_formulas(["KNbW2O9"]).atomic_numbers[0].numpy(), 5
    )
    assert only.distance > 0


def test_crystals_start_from_the_likeliest(shipped: LDMModule) -> None:
    """With hardly any noise a crystal is its prototype."""
    known, request = shipped.training_crystals, CrystalBatch.from_formulas(["KMgF3", "CaTiO3"])
    options = {"sampling_steps": 4, "temperature": 0, "cfg_scale": 1.0}
    made = shipped.sample(request, 2, start=Prototype(0.01, order="likeliest"), **options)
    for row, number, crystal in zip(made.row, made.number, made.to_structures(), strict=True):
        prototype = known.ranking.likeliest(cell_contents(request, row), 2)[int(number)]
        lattice, coords, elements = known.search.cell(prototype)
        assert crystal.matches(Structure(lattice, elements.tolist(), coords))
    apart = shipped.sample(
        request, 2, start=Prototype(0.01, order="likeliest"), batch_size=1, **options
    )
    assert torch.allclose(made.crystals.lattices, apart.crystals.lattices, rtol=1e-4, atol=1e-4)


def test_recipes_of_before_start_from_the_nearest(shipped: LDMModule) -> None:
    start = Prototype.model_validate({"strength": 0.3, "share": 1.0, "count": 8})
    assert start.order == "nearest"
    recipe = shipped.sample(CrystalBatch.from_formulas(["NaCl"], 1), 1, preset="predict").recipe
    assert recipe["sampling"]["start"]["order"] == "likeliest"
    with pytest.raises(RequestError, match="order"):
        Prototype(order="farthest")


def test_before_training_the_nearest_is_the_likeliest(known: TrainingCrystals) -> None:
    numbers = CrystalBatch.from_formulas(["KMgF3"]).atomic_numbers[0].numpy()
    nearest = known.search.nearest(numbers, 12)
    formula = Formula(nearest, np.arange(12) == 0)
    scores = RankingNet().eval()(*joined(known.ranking, [formula]))
    distances = np.array([one.distance for one in nearest])
    assert torch.allclose(scores, torch.from_numpy(-3 * (distances / distances[0] - 1)).float())


def test_a_network_learns_which_prototypes_are_right(known: TrainingCrystals) -> None:
    formulas = formulas_of(known, 60, workers=1)
    assert 20 < len(formulas) < 60
    assert all(one.right.any() and not one.right.all() for one in formulas)
    fewer = some(formulas[0], np.random.default_rng(1))
    assert fewer.right.any() and not fewer.right.all()
    ranking = PrototypeRanking(known.search, known.space_group)
    inputs = joined(ranking, formulas)
    with torch.no_grad():
        before = loss_of(RankingNet().eval()(*inputs), formulas)
    net = train(ranking, formulas, epochs=10, batch_size=8, seed=2)
    with torch.no_grad():
        assert loss_of(net(*inputs), formulas) < 0.9 * before


def test_missing_weights_are_a_sentence(
    known: TrainingCrystals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prototype_ranking, "WEIGHTS", tmp_path / "none.safetensors")
    prototype_ranking._networks.cache_clear()
    ranking = PrototypeRanking(known.search, known.space_group)
    with pytest.raises(CheckpointError, match="order='nearest'"):
        ranking.likeliest(CrystalBatch.from_formulas(["KMgF3"]).atomic_numbers[0].numpy(), 1)
    prototype_ranking._networks.cache_clear()
