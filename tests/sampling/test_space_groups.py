"""Space groups that are asked for: names, likely ones, turns, and crystals that have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.space_groups import (
    group_number,
    group_numbers,
    group_symbol,
    group_traits,
    space_group,
    space_groups_of,
)
from crystal_ldm.crystals.symmetrise import STRICT, onto_space_group
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.condition import SpaceGroupCondition
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.sampling import HasSpaceGroup
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


def test_systems_and_lists_are_several_groups() -> None:
    assert group_numbers("cubic") == list(range(195, 231))
    assert group_numbers([225, "Pnma", 225]) == [62, 225]
    assert group_numbers(["triclinic", 3]) == [1, 2, 3]
    with pytest.raises(RequestError, match="empty"):
        group_numbers([])


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
    assert condition.embeddings().shape == (230, 16)
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
