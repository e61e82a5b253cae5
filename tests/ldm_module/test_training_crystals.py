"""The crystals that a model was trained on travel with it, as new ones are told from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.canonical import canonical_form
from crystal_ldm.crystals.elements import element_distances
from crystal_ldm.crystals.packing import pack, unpack
from crystal_ldm.crystals.prototype_search import PrototypeSearch
from crystal_ldm.errors import CheckpointError, RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.nn.checkpoints import Checkpoint, load_module, save_safetensors
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.recipe import from_recipe
from crystal_ldm.sampling import (
    Elements,
    MinDistance,
    NotInTraining,
    Prototype,
    SampleResult,
)
from tests.conftest import make_tiny_ldm


@pytest.fixture(scope="module")
def shipped() -> LDMModule:
    return load_pretrained()


def of(batch: CrystalBatch, *rows: int) -> TrainingCrystals:
    known = TrainingCrystals()
    known.add(batch[list(rows)] if rows else batch)
    return known


def numbers(formula: str) -> np.ndarray:
    return CrystalBatch.from_formulas([formula]).atomic_numbers[0].numpy()


def rows(known: TrainingCrystals, formula: str) -> list[int]:
    return known.rows_of(CrystalBatch.from_formulas([formula]).atomic_numbers)[0]


def test_packed_crystals_are_the_same_to_rounding(known_batch: CrystalBatch) -> None:
    again = unpack(pack(known_batch))
    assert torch.equal(again.atomic_numbers, known_batch.atomic_numbers)
    assert torch.equal(again.num_atoms, known_batch.num_atoms)
    shift = (again.frac_coords - known_batch.frac_coords + 0.5) % 1 - 0.5
    assert float(shift.abs().max()) <= 1 / 480 + 1e-6
    assert torch.allclose(again.lattices, known_batch.lattices, rtol=1e-3, atol=5e-3)
    assert torch.equal(pack(again), pack(known_batch))
    with pytest.raises(ValueError, match="no packed crystals"):
        unpack(torch.arange(100, dtype=torch.uint8))


def test_crystals_of_earlier_trainings_are_remembered(known_batch: CrystalBatch) -> None:
    known = of(known_batch, 0, 1)
    moved = known_batch[[1, 2]]
    moved.lattices = moved.lattices * 1.01  # another database relaxed NaCl to another volume
    known.add(moved)
    assert sorted(known.crystals.formulas) == ["NaCl", "SrTiO3", "ZnS"]
    (row,) = rows(known, "NaCl")
    assert torch.allclose(known.crystals.lattices[row], moved.lattices[0], rtol=2e-3, atol=5e-3)
    wide = known_batch[[1]]
    wide.lattices = wide.lattices * 1.2
    known.add(wide)
    assert len(rows(known, "NaCl")) == 2


def test_of_one_formula_the_stable_one_comes_first(known_batch: CrystalBatch) -> None:
    two = known_batch[[5, 5]]
    two.lattices = two.lattices * torch.tensor([1.3, 1.0]).view(2, 1, 1)
    two.conditions = {"formation_energy_per_atom": torch.tensor([-1.0, -3.0])}
    first = of(two).crystals.lattices[0]
    assert torch.allclose(first, known_batch.lattices[5], rtol=1e-3, atol=5e-3)


def test_they_travel_in_the_file_and_not_in_the_hash(
    known_batch: CrystalBatch, tmp_path: Path
) -> None:
    ldm = make_tiny_ldm(known_batch)
    save_safetensors(ldm, tmp_path / "model.safetensors")
    again = LDMModule.load_from_checkpoint(tmp_path / "model.safetensors")
    assert set(again.training_crystals.crystals.formulas) == set(known_batch.formulas)
    assert again.training_crystals.complete and again.model_hash == ldm.model_hash


def test_a_part_of_them_does_not_pass_for_all(known_batch: CrystalBatch, tmp_path: Path) -> None:
    """A file written before they were kept does not say what it was trained on."""
    save_safetensors(make_tiny_ldm(known_batch), tmp_path / "old.safetensors")
    checkpoint = Checkpoint.read(tmp_path / "old.safetensors")
    del checkpoint.state["training_crystals.packed"]
    old = load_module(LDMModule, checkpoint)
    old.extend_data(known_batch, {})
    assert not set(old.training_crystals.crystals.formulas)
    save_safetensors(old, tmp_path / "again.safetensors")  # nor does a copy of it
    old = LDMModule.load_from_checkpoint(tmp_path / "again.safetensors").train()
    old.extend_data(known_batch, {})
    assert not set(old.training_crystals.crystals.formulas) and not old.training_crystals.complete
    old.eval()
    for option in ({"filters": [NotInTraining()]}, {"start": Prototype(0.3)}):
        with pytest.raises(RequestError, match="no training crystals with it"):
            old.sample(CrystalBatch.from_formulas(["NaCl"]), 1, **option)
    assert not old.sample(CrystalBatch.from_formulas(["NaCl"]), 1, sampling_steps=1).new_formula


def test_damaged_crystals_are_noticed_when_the_file_is_opened(
    known_batch: CrystalBatch, tmp_path: Path
) -> None:
    save_safetensors(make_tiny_ldm(known_batch), tmp_path / "model.safetensors")
    checkpoint = Checkpoint.read(tmp_path / "model.safetensors")
    for wrong in (checkpoint.state["training_crystals.packed"].flip(0), torch.zeros(3, 3)):
        checkpoint.state["training_crystals.packed"] = wrong
        with pytest.raises(CheckpointError, match="no packed crystals"):
            load_module(LDMModule, checkpoint)


def test_a_new_vae_leaves_them_what_they_are(known_batch: CrystalBatch) -> None:
    ldm = make_tiny_ldm(known_batch[[0, 1] * 3])
    other = make_tiny_ldm(known_batch, seed=1).vae
    ldm.replace_vae(other).set_data(CrystalBatch.cat([known_batch[[2, 3]]] * 10), {})
    assert set(ldm.training_crystals.crystals.formulas) == set(known_batch[[0, 1, 2, 3]].formulas)


def test_unlike_elements_are_far_apart() -> None:
    distances = element_distances()
    assert float(abs(distances - distances.T).max()) == 0 == float(distances.diagonal().max())
    na, k, cl, br, fe = 11, 19, 17, 35, 26
    assert distances[na, k] < distances[na, fe] < distances[na, cl]
    assert distances[cl, br] < distances[cl, fe]


def test_a_prototype_is_the_nearest_relative(known_batch: CrystalBatch) -> None:
    search = PrototypeSearch(known_batch)
    (found,) = search.nearest(numbers("KMgF3"), 5)
    assert known_batch.formulas[found.row] == "SrTiO3" and found.distance > 0
    assert found.replaced == {38: 19, 22: 12, 8: 9}
    exchanged = search.nearest(numbers("KBr"), 5)
    assert [known_batch.formulas[t.row] for t in exchanged] == ["NaCl", "ZnS"]
    assert exchanged[0].replaced == {11: 19, 17: 35}  # not the other way round
    assert search.nearest(numbers("SrTiO3"), 5) == []  # itself is none
    assert search.nearest(numbers("K?"), 5) == [] == search.nearest(numbers("K5MgF7"), 5)


@pytest.mark.parametrize("formula", ["KMgF3", "KBr", "GeO2", "Li2", "MgCaO2"])
def test_a_prototype_is_canonical_and_has_the_formula(
    known_batch: CrystalBatch, formula: str
) -> None:
    search = PrototypeSearch(known_batch)
    request = CrystalBatch.from_formulas([formula])
    wanted = request.atomic_numbers[0].numpy()
    for prototype in search.nearest(wanted, 5):
        lattice, coords, elements = search.cell(prototype)
        assert elements.tolist() == wanted.tolist()
        structure = Structure(lattice, elements.tolist(), coords)
        again = canonical_form(structure)
        assert (abs((again.frac_coords - coords + 0.5) % 1 - 0.5) < 1e-4).all()
        assert (abs(again.lattice.matrix - lattice) < 1e-3).all()


def test_crystals_start_from_prototypes(shipped: LDMModule) -> None:
    """With hardly any noise a crystal is its prototype; with all of it, nothing is left of it."""
    request = CrystalBatch.from_formulas(["KMgF3", "RbCaF3"])
    options = {"sampling_steps": 4, "temperature": 0, "cfg_scale": 1.0}
    made = shipped.sample(request, 3, start=Prototype(0.01), **options)
    search = shipped.training_crystals.search
    for row, number, crystal in zip(made.row, made.number, made.to_structures(), strict=True):
        prototype = search.nearest(request.atomic_numbers[row].numpy(), 3)[int(number)]
        lattice, coords, elements = search.cell(prototype)
        assert crystal.matches(Structure(lattice, elements.tolist(), coords))
    one = shipped.sample(request, 3, start=Prototype(0.01, count=1), **options)
    assert torch.equal(one.crystals.lattices[0], one.crystals.lattices[1])


def test_some_crystals_start_from_prototypes_and_the_others_from_noise(shipped: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["KMgF3"])
    options = {"sampling_steps": 2, "cfg_scale": 1.0}
    half = Prototype(0.3, share=0.5, count=2)
    noise = shipped.sample(request, 6, **options).crystals.lattices
    mixed = shipped.sample(request, 6, start=half, **options)
    parts = [shipped.sample(request, 2, offset=n, start=half, **options) for n in (0, 2, 4)]
    apart = torch.cat([part.crystals.lattices for part in parts])
    assert torch.allclose(mixed.crystals.lattices, apart, rtol=1e-3, atol=1e-3)
    close = {"rtol": 1e-3, "atol": 1e-3}
    same = [torch.allclose(a, b, **close) for a, b in zip(apart, noise, strict=True)]
    assert same == [False, True, False, True, False, True]
    assert [half.rank(number, 0, 2) for number in range(6)] == [0, None, 1, None, 0, None]
    none = shipped.sample(request, 6, start=half.changed(share=0.0), **options)
    assert torch.allclose(none.crystals.lattices, noise, **close)


def test_atoms_of_a_prototype_follow_the_request(shipped: LDMModule) -> None:
    """A request may list its atoms in any order."""
    ordered = CrystalBatch.from_formulas(["KMgF3"])
    mixed = CrystalBatch(torch.tensor([[9, 9, 19, 9, 12]]), torch.tensor([5]))
    options = {"sampling_steps": 2, "temperature": 0, "cfg_scale": 1.0, "start": Prototype(0.01)}
    first, second = (shipped.sample(batch, 1, **options) for batch in (ordered, mixed))
    assert second.element_agreement.item() == 1.0
    assert first.to_structures()[0].matches(second.to_structures()[0])


def test_without_noise_all_prototypes_are_tried_and_then_noise(shipped: LDMModule) -> None:
    """KNbW2O9 has one relative: started from it a second time, it needs noise to differ."""
    request = CrystalBatch.from_formulas(["KNbW2O9"])
    assert len(shipped.training_crystals.search.nearest(request.atomic_numbers[0].numpy(), 9)) == 1
    options = {"temperature": 0, "start": Prototype(0.1), "filters": [MinDistance(9.9)]}
    made = [
        shipped.sample(request, 1, attempts=attempts, **options).crystals.lattices
        for attempts in (1, 2)
    ]
    assert not torch.equal(*made)


def test_what_is_made_again_starts_as_it_did(shipped: LDMModule) -> None:
    """Nothing is as wide as asked for: each crystal is made three times more."""
    request = CrystalBatch.from_formulas(["KMgF3"])
    options = {"sampling_steps": 2, "cfg_scale": 1.0, "filters": [MinDistance(9.9)], "attempts": 3}
    noise = shipped.sample(request, 4, **options).crystals.lattices
    mixed = shipped.sample(request, 4, start=Prototype(0.3, share=0.5), **options)
    assert mixed.attempts.tolist() == [4, 4, 4, 4]
    close = {"rtol": 1e-4, "atol": 1e-4}
    pairs = zip(mixed.crystals.lattices, noise, strict=True)
    assert [torch.allclose(a, b, **close) for a, b in pairs] == [False, True, False, True]


def test_formulas_without_a_prototype_start_from_noise(shipped: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["KMgF3", "Li3Al5B7", "NaCl", "??"])
    options = {"sampling_steps": 2, "seed": 4}
    plain = shipped.sample(request, 2, **options)
    made = shipped.sample(request, 2, start=Prototype(0.5), **options)
    apart = shipped.sample(request, 2, start=Prototype(0.5), batch_size=1, **options)
    assert torch.equal(made.crystals.atomic_numbers, plain.crystals.atomic_numbers)
    assert torch.allclose(made.crystals.lattices, apart.crystals.lattices, rtol=1e-3, atol=1e-3)
    same = [
        torch.allclose(a, b, rtol=1e-3)
        for a, b in zip(made.crystals.lattices, plain.crystals.lattices, strict=True)
    ]
    assert same[2:4] == [True, True]  # Li3Al5B7: nothing known has such counts
    assert not any(same[:2]) and not any(same[4:6])


def test_trajectories_of_prototypes_are_whole(shipped: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["KMgF3", "Li3Al5B7"])
    made = shipped.sample(request, 1, start=Prototype(0.5), sampling_steps=3, trajectory=True)
    assert made.trajectory is not None and len(made.trajectory) == 3
    first, second = made.trajectory[0].noise_level.tolist()
    assert first < 0.8 < second  # what starts from noise is all noise
    last = made.trajectory[-1].crystals
    assert torch.allclose(last.lattices, made.crystals.lattices, rtol=1e-3, atol=1e-3)


def test_open_elements_are_drawn_until_the_formula_has_a_relative(shipped: LDMModule) -> None:
    options = {"sampling_steps": 1, "filters": [], "seed": 2}
    usual = shipped.sample(None, 40, **options)
    made = shipped.sample(None, 40, elements=Elements(max_distance_to_known=0.2), **options)
    new = shipped.sample(
        None, 40, elements=Elements(new_formula=True, max_distance_to_known=0.2), **options
    )

    def far(result: SampleResult) -> list[bool]:
        sizes = result.crystals.num_atoms.tolist()
        numbers = [
            z[:n] for z, n in zip(result.crystals.atomic_numbers.numpy(), sizes, strict=True)
        ]
        nearest = [shipped.training_crystals.search.nearest(z, 1) for z in numbers]
        lonely = [not found or found[0].distance > 0.2 for found in nearest]
        return [a and bool(b) for a, b in zip(lonely, result.new_formula, strict=True)]

    assert sum(far(usual)) > 5
    assert not any(far(made)) and not any(far(new)) and bool(new.new_formula.all())
    kept = [i for i, is_far in enumerate(far(usual)) if not is_far]
    same = made.crystals.atomic_numbers[kept] == usual.crystals.atomic_numbers[kept]
    assert bool(same.all())


def test_recipes_hold_the_training_crystals_where_they_matter(
    shipped: LDMModule, known_batch: CrystalBatch, tmp_path: Path
) -> None:
    request = CrystalBatch.from_formulas(["KMgF3"])
    plain = shipped.sample(request, 1, sampling_steps=1).recipe
    made = shipped.sample(request, 1, sampling_steps=2, start=Prototype(0.3))
    assert "known_hash" not in plain and made.recipe["known_hash"] == shipped.training_crystals.hash
    (tmp_path / "recipe.json").write_text(json.dumps(made.recipe))
    again = from_recipe(tmp_path / "recipe.json", shipped)
    assert torch.equal(again.crystals.lattices, made.crystals.lattices)
    whole, shipped.training_crystals = shipped.training_crystals, of(known_batch)
    try:
        with pytest.raises(CheckpointError, match="this one has others"):
            from_recipe(tmp_path / "recipe.json", shipped)
    finally:
        shipped.training_crystals = whole


def test_known_crystals_are_made_again(shipped: LDMModule) -> None:
    """Rock salt is what NaCl becomes; asked for new crystals it must not."""
    request = CrystalBatch.from_formulas(["NaCl"])
    options = {"sampling_steps": 5, "temperature": 2.0}
    known = [
        shipped.training_crystals.crystals[[row]].to_structures()[0]
        for row in rows(shipped.training_crystals, "NaCl")
    ]
    usual = shipped.sample(request, 8, **options)
    assert list(usual.passed) == ["min_distance"]  # nobody looked
    old = [any(s.matches(k) for k in known) for s in usual.to_structures()]
    assert sum(old) >= 3
    made = shipped.sample(
        request, 8, filters=[MinDistance(), NotInTraining()], attempts=9, **options
    )
    old_now = [any(s.matches(k) for k in known) for s in made.to_structures()]
    assert [not new for new in made.passed["not_in_training"].tolist()] == old_now
    assert sum(old_now) < sum(old) and int(made.attempts.max()) > 1
    kept = [i for i, was in enumerate(old) if not was]
    assert torch.equal(made.crystals.lattices[kept], usual.crystals.lattices[kept])


def test_prototypes_are_refused_where_they_cannot_be(shipped: LDMModule) -> None:
    with pytest.raises(RequestError, match="fewer than the 5 that sampling_steps"):
        shipped.sample(CrystalBatch.from_formulas(["KMgF3"]), 1, start=Prototype(0.002))
    with pytest.raises(RequestError, match="max_distance_to_known cannot be had here"):
        shipped.sample(
            CrystalBatch.from_formulas(["NaCl"]), 1, elements=Elements(max_distance_to_known=0.5)
        )
    for name, value in (("strength", 1.5), ("share", -0.1), ("count", 0)):
        with pytest.raises(RequestError, match=name):
            Prototype(**{name: value})
