"""Space groups that are asked for: names, likely ones, turns, and crystals that have them."""

from __future__ import annotations

import json
import lzma
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.prototype_search import orbit_prototypes
from crystal_ldm.crystals.symmetry.projection import STRICT, onto_space_group
from crystal_ldm.crystals.symmetry.space_groups import (
    group_number,
    group_numbers,
    group_symbol,
    group_traits,
    space_group,
    space_groups_of,
)
from crystal_ldm.crystals.writers import symmetrised_cif
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.condition import SpaceGroupCondition
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.recipe import from_recipe
from crystal_ldm.sampling import HasSpaceGroup
from crystal_ldm.sampling.guidance import Guidance
from crystal_ldm.sampling.space_groups import LikelyGroups


@pytest.fixture(scope="module")
def shipped() -> LDMModule:
    return load_pretrained()


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (225, 225),
        (np.int64(62), 62),
        (166.0, 166),
        ("221", 221),
        ("Pm-3m", 221),
        ("P 63/m m c", 194),
        ("P6_3/mmc", 194),
        ("fd-3m", 227),
        (None, None),
        (float("nan"), None),
    ],
)
def test_groups_are_numbers_or_symbols(value: object, number: int | None) -> None:
    assert group_number(value) == number


@pytest.mark.parametrize("value", [0, 231, 2.5, "Pm3x", True, "", "99999999999", [1], -1])
def test_what_is_no_group_is_refused(value: object) -> None:
    with pytest.raises(RequestError, match="no space group"):
        group_number(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "no space group 0: there are 230"),
        (231.0, "no space group 231: there are 230"),
        ("rhombohedral", "crystal system is called 'trigonal'"),
        ("Rhombohedral", "crystal system is called 'trigonal'"),
    ],
)
def test_what_is_no_group_is_answered_as_it_was_meant(value: object, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        group_numbers(value)


def test_likely_is_likely_in_capitals_too() -> None:
    request = CrystalBatch.from_formulas(
        ["NaCl", "KCl"], ["Likely", 1], space_group=["Likely", " Pnma"]
    )
    assert request.conditions["space_group"] == ["likely", " Pnma"]
    assert request.formula_units == ["likely", None]


def test_systems_and_lists_are_several_groups() -> None:
    assert group_numbers("cubic") == list(range(195, 231))
    assert group_numbers([225, "Pnma", 225]) == [62, 225]
    assert group_numbers(np.array([221, 225])) == [221, 225]
    other_settings = [
        "Pbnm",
        "P 1 21/c 1",
        "R -3 m :H",
        "F d -3 m :2",
        "Aem2",
        "Aba2",
        " 225 ",
        "B2",
    ]
    assert [group_number(name) for name in other_settings] == [62, 14, 166, 227, 39, 41, 225, 5]
    assert group_numbers(["triclinic", 3]) == [1, 2, 3]
    with pytest.raises(RequestError, match="empty"):
        group_numbers([])
    started = time.process_time()
    group_numbers([225] * 100_000)  # the rows of a large request
    assert time.process_time() - started < 2  # s


def test_every_symbol_is_its_own_group() -> None:
    assert [group_number(group_symbol(number)) for number in range(1, 231)] == list(range(1, 231))
    traits = np.array(group_traits())
    assert (traits.sum(axis=1) == 3).all()  # a crystal system, a point group, a centring


def rock_salt(shift: float = 0.0, strain: float = 0.0) -> Cell:
    lattice = np.array([[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]]) * 1.0
    lattice[0, 0] += strain
    return Cell.from_arrays([11, 17], [[shift, 0, 0], [0.5, 0.5, 0.5]], lattice)


def test_a_crystal_that_is_near_a_group_is_moved_onto_it() -> None:
    bent = rock_salt(0.0, 0.2)
    assert space_group(bent, STRICT) != 225
    moved = onto_space_group(bent, 225)
    assert moved is not None
    crystal, displacement = moved
    assert space_group(crystal, STRICT) == 225
    assert displacement < 0.01
    assert crystal.volume == pytest.approx(bent.volume, rel=0.02)
    assert onto_space_group(bent, 62) is None


def test_displacements_are_reported() -> None:
    perovskite = Cell.from_arrays(
        [38, 22, 8, 8, 8],
        [[0, 0, 0], [0.5, 0.5, 0.52], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
        np.eye(3) * 4.0,
    )
    moved = onto_space_group(perovskite, 221)
    assert moved is not None
    # Ti is 0.08 Å from the middle; the projection moves it there and the mean stays.
    assert moved[1] == pytest.approx(0.08, abs=0.02)
    assert space_group(moved[0], STRICT) == 221


def test_likely_groups_are_those_of_chemical_relatives(shipped: LDMModule) -> None:
    likely = LikelyGroups(shipped)
    rock_salts = likely.probabilities(np.array([12, 8]))  # MgO
    assert int(rock_salts.argmax()) + 1 == 225
    assert rock_salts.sum() == pytest.approx(1)
    assert (rock_salts > 0).all()
    turns = [likely.turn(np.array([12, 8]), number) for number in range(20)]
    assert turns[0] == (225, 0)
    assert len({group for group, _ in turns}) > 3
    assert [had for group, had in turns if group == 225] == list(
        range(sum(group == 225 for group, _ in turns))
    )
    cubic = [likely.turn(np.array([12, 8]), n, range(195, 231))[0] for n in range(5)]
    assert min(cubic) >= 195


def test_a_condition_takes_numbers_and_symbols_and_finds_labels_itself() -> None:
    condition = SpaceGroupCondition()
    condition.build("space_group", 16)
    encoded = condition.encode([225, "Pnma", None])
    assert encoded[:2].flatten().tolist() == [225, 62]
    assert encoded[2].isnan().all()
    assert condition(encoded).abs().sum() == 0  # it starts at zero
    assert condition.embed(torch.arange(1, 231)[:, None]).shape == (230, 16)
    crystals = CrystalBatch.from_structures([rock_salt().to_structure()])
    assert condition.values_of(crystals) == [225.0]
    condition.set_data([225.0, None])
    assert condition.counts.sum() == 1


def test_a_space_group_of_a_filter_is_met_exactly(shipped: LDMModule) -> None:
    batch = CrystalBatch.from_formulas(["MgO", "CaF2"], formula_units=[1, 1])
    out = shipped.sample(batch, 4, preset="predict", filters=[HasSpaceGroup(number=225)], seed=1)
    met = [group == 225 for group in space_groups_of(out.crystals, STRICT)]
    assert met == out.passed["has_space_group"].tolist()
    assert sum(met) >= 6
    assert (out.displacement[torch.tensor(met)] < 0.5).all()


def test_a_space_group_that_is_asked_for_is_met_and_reported(shipped: LDMModule) -> None:
    batch = CrystalBatch.from_formulas(
        ["SrTiO3", "ZnO"], formula_units=[1, 2], space_group=["Pm-3m", 186]
    )
    out = shipped.sample(batch, 4, seed=2)
    asked = [221.0] * 4 + [186.0] * 4
    assert out.crystals.conditions["space_group"].tolist() == asked
    met = [float(group or 0) == a for group, a in zip(_strict(out.crystals), asked, strict=True)]
    assert met == out.passed["has_space_group"].tolist()
    assert all(met)
    assert not out.displacement.isnan().any()
    for crystal, group in zip(out.crystals.to_cells(), asked, strict=True):
        cif, symbol = symmetrised_cif(crystal, STRICT)
        assert group_number(symbol) == group
        back = Cell.from_structure(Structure.from_str(cif, fmt="cif"))
        assert space_group(back, STRICT) == group


def test_a_list_of_groups_takes_turns_whatever_the_batch_size(shipped: LDMModule) -> None:
    batch = CrystalBatch.from_formulas(["TiO2"], formula_units=[2], space_group="tetragonal")
    out = shipped.sample(batch, 6, seed=1, attempts=0)
    groups = out.crystals.conditions["space_group"].tolist()
    assert all(75 <= group <= 142 for group in groups)
    assert len(set(groups)) > 1
    again = shipped.sample(batch, 6, seed=1, attempts=0, batch_size=1)
    assert again.crystals.conditions["space_group"].tolist() == groups
    assert torch.allclose(again.crystals.lattices, out.crystals.lattices, atol=1e-4)


@pytest.mark.slow
def test_likely_groups_need_no_request(shipped: LDMModule) -> None:
    batch = CrystalBatch.from_formulas(["MgO"], formula_units=[1])
    out = shipped.sample(batch, 5, preset="predict", likely_groups=True)
    assert out.crystals.conditions["space_group"][0] == 225
    likely = CrystalBatch.from_formulas(["MgO"], formula_units=[1], space_group="likely")
    same = shipped.sample(likely, 5, preset="predict", filters=[])
    assert same.crystals.conditions["space_group"].tolist() == (
        out.crystals.conditions["space_group"].tolist()
    )


def test_the_first_guess_of_predict_has_no_group_and_the_others_take_turns(
    shipped: LDMModule,
) -> None:
    batch = CrystalBatch.from_formulas(["MgO", "SrTiO3"], formula_units=[1, 1])
    out = shipped.sample(batch, 4, preset="predict")
    plain = shipped.sample(batch, 4, preset="predict", likely_groups="none")
    assert "space_group" not in plain.crystals.conditions
    groups = out.crystals.conditions["space_group"].view(2, 4)
    assert groups[:, 0].isnan().all()
    assert not groups[:, 1:].isnan().any()
    assert len(set(groups[0, 1:].tolist())) > 1
    assert torch.allclose(out.crystals.lattices[::4], plain.crystals.lattices[::4], atol=1e-4)
    # The group of the first guess's prototype has had a turn: the next one is another prototype.
    turns = LikelyGroups(shipped)
    assert turns.turn(np.array([12, 8]), 0, taken=225) != (225, 0)
    # Recipes of before the preset spread over groups say nothing of them, or True and False.
    recipe = json.loads(json.dumps(out.recipe))
    recipe["sampling"]["guidance"].pop("likely_groups")
    again = from_recipe(json.dumps(recipe).encode(), ldm=shipped)
    assert torch.equal(again.crystals.lattices, plain.crystals.lattices)
    assert Guidance(likely_groups=True) == Guidance(likely_groups="all")
    with pytest.raises(RequestError, match="none, after_first, all"):
        Guidance(likely_groups="some")


def test_a_group_that_a_formula_cannot_fill_is_said(shipped: LDMModule) -> None:
    one = CrystalBatch.from_formulas(
        ["SrTiO3", "MgO"], formula_units=[1, 1], space_group=["Pnma", 225]
    )
    said = r"SrTiO3 is out of reach: the positions of Pnma .* 1, 1, 3 .*; 20 atoms can fill Pnma"
    with pytest.warns(UserWarning, match=said):
        shipped.sample(one, 1, sampling_steps=1, attempts=0)


def test_recipes_with_groups_make_the_same_crystal(shipped: LDMModule, tmp_path: Path) -> None:
    batch = CrystalBatch.from_formulas(["CaF2"], formula_units=[1], space_group=[["cubic", 12]])
    out = shipped.sample(batch, 3, seed=4)
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(out.recipe))
    again = from_recipe(file, ldm=shipped)
    assert torch.equal(again.crystals.lattices, out.crystals.lattices)


def test_hull_distances_steer_and_are_bounded(shipped: LDMModule) -> None:
    about = shipped.conditions["e_above_hull"].describe()
    assert (about["min"], about["max"], about["unit"]) == (0, 1, "eV/atom")
    with pytest.raises(RequestError, match="eV/atom"):
        shipped.sample(CrystalBatch.from_num_atoms([5], e_above_hull=[-1.0]))
    # Up to 0.05 eV/atom the networks are given what they were given before the calibration.
    asked = CrystalBatch.from_num_atoms([5] * 4, e_above_hull=[0.0, 0.05, 0.2, None])
    given = shipped.sampler_network.encode(asked)["e_above_hull"].flatten()
    assert torch.equal(given[:2], torch.tensor([0.0, 0.05])) and bool(given[3].isnan())
    assert float(given[2]) == pytest.approx(0.6)
    assert shipped.data_info["hashes_before_calibration"] == ["c6817ae9fab0dd2a"]


def test_orbits_take_the_elements_of_another_formula() -> None:
    rock_salt_cell = rock_salt()
    crystals = CrystalBatch.from_cells(
        [(rock_salt_cell.lattice, rock_salt_cell.frac_coords, rock_salt_cell.numbers)]
    )
    (prototype,) = orbit_prototypes(crystals, [0], np.array([12, 8]), 0.1)
    assert sorted(prototype.elements) == [8, 12]
    assert prototype.elements[crystals.atomic_numbers[0].tolist().index(17)] == 8
    assert orbit_prototypes(crystals, [0], np.array([12, 8]), 1e-9) != []
    # One orbit of two atoms cannot hold two elements.
    diamond = CrystalBatch.from_cells(
        [(rock_salt_cell.lattice, np.array([[0, 0, 0], [0.25, 0.25, 0.25]]), np.array([6, 6]))]
    )
    assert orbit_prototypes(diamond, [0], np.array([12, 8]), 0.1) == []


def test_groups_of_training_crystals_travel_with_them(known_batch: CrystalBatch) -> None:
    crystals = TrainingCrystals()
    crystals.add(known_batch)
    groups = [crystals.space_group(row) for row in range(len(known_batch))]
    kept = lzma.compress(bytes(group or 0 for group in groups))
    crystals.packed_groups = torch.tensor(list(kept), dtype=torch.uint8)
    loaded = TrainingCrystals()
    loaded.load_state_dict(crystals.state_dict())
    assert loaded._groups == dict(enumerate(groups))
    assert loaded.hash == crystals.hash
    old = {name: t for name, t in crystals.state_dict().items() if name != "packed_groups"}
    loaded.load_state_dict(old)
    assert [loaded.space_group(row) for row in range(len(known_batch))] == groups
    assert 225 in groups


def _strict(crystals: CrystalBatch) -> list[int | None]:
    return space_groups_of(crystals, STRICT)
