"""Host structures: what stays stands where it was, and the rest is made around it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from crystal_ldm import load_pretrained
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.recipe import from_recipe
from crystal_ldm.sampling import Host, MinDistance, SampleResult


@pytest.fixture(scope="module")
def strontium_titanate() -> Structure:
    """In a cell that is not reduced, with an origin of its own."""
    cell = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    cell.make_supercell([[1, 0, 0], [1, 1, 0], [-1, 0, 1]])
    cell.translate_sites(list(range(len(cell))), [0.13, 0.41, 0.27])
    return cell


@pytest.fixture(scope="module")
def host(strontium_titanate: Structure) -> CrystalBatch:
    return CrystalBatch.from_structures([strontium_titanate], canonical=False)


@pytest.fixture(scope="module")
def pretrained() -> LDMModule:
    return load_pretrained()


def farthest(result: SampleResult, structure: Structure, atoms: list[int]) -> float:
    """Return by how much the crystals' first atoms stand off `atoms` of the host, at most, in
    fractional coordinates."""
    apart = [
        made.frac_coords[: len(atoms)] - structure.frac_coords[atoms]
        for made in result.to_structures()
    ]
    return float(np.abs(apart - np.rint(apart)).max())


@pytest.mark.parametrize("cell", ["held", "free"])
def test_what_stays_is_where_the_host_has_it(
    tiny_ldm: LDMModule, host: CrystalBatch, strontium_titanate: Structure, cell: str
) -> None:
    kept = [4, 0, 2]
    start = Host(keep=kept, rest="O2Zn?2", cell=cell)
    made = tiny_ldm.sample(host, 3, start=start, sampling_steps=3, attempts=1, filters=[])
    assert farthest(made, strontium_titanate, kept) < 1e-6
    for structure in made.to_structures():
        symbols = [site.specie.symbol for site in structure]
        assert symbols[:3] == [strontium_titanate[i].specie.symbol for i in kept]
        assert len(symbols) == 8 and symbols[3:].count("Zn") >= 1
        same_cell = np.allclose(structure.lattice.matrix, strontium_titanate.lattice.matrix)
        assert same_cell == (cell == "held")
    # A model of random weights has the atoms anywhere, and the result says so.
    assert (made.displacement > 0.1).all() and not made.passed["host"].any()
    assert made.attempts.tolist() == [2, 2, 2]


def test_replaced_atoms_stay_in_place(
    tiny_ldm: LDMModule, host: CrystalBatch, strontium_titanate: Structure
) -> None:
    made = tiny_ldm.sample(host, 2, start=Host(replace={1: "Fe"}, cell="free"), attempts=0)
    assert farthest(made, strontium_titanate, list(range(5))) < 1e-6
    assert all(structure[1].specie.symbol == "Fe" for structure in made.to_structures())
    assert set(made.crystals.formulas) == {"SrFeO3"}


def test_the_trained_model_makes_what_fits_the_host(
    pretrained: LDMModule, host: CrystalBatch, strontium_titanate: Structure
) -> None:
    oxygen = [i for i, site in enumerate(strontium_titanate) if site.specie.symbol == "O"]
    made = pretrained.sample(host, 4, start=Host(keep=[0, 1]), sampling_steps=10, cfg_scale=1.0)
    assert (made.displacement < 0.1).all() and made.passed["host"].all()
    # The oxygen atoms come out where they were, though nothing told of them.
    sites = strontium_titanate.frac_coords[oxygen]
    distances = [
        strontium_titanate.lattice.get_all_distances(crystal.frac_coords[2:], sites).min(axis=1)
        for crystal in made.to_structures()
    ]
    assert np.median(distances) < 0.1


def test_lithium_goes_between_the_layers(pretrained: LDMModule) -> None:
    layers = Structure.from_spacegroup(
        "P-3m1", Lattice.hexagonal(3.407, 5.695), ["Ti", "S"], [[0, 0, 0], [1 / 3, 2 / 3, 0.25]]
    )
    host = CrystalBatch.from_structures([layers], canonical=False)
    made = pretrained.sample(host, 4, start=Host(rest="Li"))
    assert made.passed["host"].all() and made.crystals.formulas == ["LiTiS2"] * 4
    gap = [0.0, 0.0, 0.5]
    for crystal in made.to_structures():
        assert crystal[-1].specie.symbol == "Li"
        assert crystal.lattice.get_distance_and_image(crystal[-1].frac_coords, gap)[0] < 0.2


@pytest.mark.slow
def test_crystals_depend_on_seed_and_place_alone(
    pretrained: LDMModule, host: CrystalBatch, known_batch: CrystalBatch
) -> None:
    start = Host(keep=[0, 2], replace={1: "?"}, rest="O2?")
    how: dict[str, Any] = {"start": start, "seed": 3, "trajectory": True}
    together = pretrained.sample(host, 4, **how)
    single = pretrained.sample(host, 4, batch_size=1, **how)
    again = from_recipe(json.dumps(together.recipe).encode(), ldm=pretrained)
    one = from_recipe(
        json.dumps({**together.recipe, "row": 0, "number": 2}).encode(), ldm=pretrained
    )
    for other, chosen in ((single, together), (again, together), (one, together[[2]])):
        assert torch.equal(other.crystals.atomic_numbers, chosen.crystals.atomic_numbers)
        apart = other.crystals.frac_coords - chosen.crystals.frac_coords
        assert (apart - apart.round()).abs().max() < 1e-3
        assert torch.allclose(other.displacement, chosen.displacement, atol=1e-3)
    assert together.trajectory is not None
    last = together.trajectory[-1].crystals
    apart = last.frac_coords - together.crystals.frac_coords
    assert (apart - apart.round())[:, :3].abs().max() < 1e-6
    assert len(set(together.crystals.formulas)) > 1
    different = pretrained.sample(host, 4, start=start, seed=4)
    assert different.crystals.formulas != together.crystals.formulas


def test_hosts_of_several_rows_and_a_row_of_a_larger_request(
    tiny_ldm: LDMModule, known_batch: CrystalBatch
) -> None:
    rows = known_batch[[0, 3]]
    start = Host(keep=[1, 0], rest="O2")
    made = tiny_ldm.sample(rows, 2, start=start, sampling_steps=2, attempts=0)
    for i, row in enumerate(made.row.tolist()):
        assert torch.allclose(made.crystals.frac_coords[i, :2], rows.frac_coords[row, [1, 0]])
        assert torch.allclose(made.crystals.lattices[i], rows.lattices[row])


def test_filters_and_the_host_are_both_met(pretrained: LDMModule, host: CrystalBatch) -> None:
    first = pretrained.sample(host, 4, start=Host(keep=[0, 1]), attempts=0).displacement
    limit = float(first.sort().values[1:3].mean())  # rounding moves none across it
    start = Host(keep=[0, 1], max_displacement=limit)
    made = pretrained.sample(host, 4, start=start, filters=[MinDistance(1.5)], attempts=20)
    assert list(made.passed) == ["host", "min_distance"]
    assert made.passed_all.all() and (made.displacement <= limit).all()
    assert (made.attempts > 1).tolist() == (first > limit).tolist()


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ({"keep": [0, 12]}, "has no atom 12: its 5 atoms are 0 to 4"),
        ({"keep": [-1]}, "has no atom -1"),
        ({"keep": [0, 0]}, "each atom once"),
        ({"keep": []}, "No atom of the host stays"),
        ({"keep": "0"}, "keep must be"),
        ({}, "Nothing is left to make: all"),
        ({"replace": {1: "Nb"}}, "Free the cell, keep fewer atoms, leave one open"),
        ({"replace": {1: "Xe"}}, "not trained on Xe"),
        ({"replace": {2: "Xx"}}, "'Xx' is not an element symbol"),
        ({"replace": {10: "Nb"}}, "has no atom 10"),
        ({"rest": "Li20"}, "more than the 20 that this model handles"),
        ({"rest": "Lu(Og)"}, "was not trained on Og"),
        ({"rest": "li"}, "li"),
        ({"rest": "Li", "cell": "loose"}, "cell must be one of held, free"),
        ({"kept": [1]}, "There is no field 'kept'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    pretrained: LDMModule, host: CrystalBatch, start: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CrystalLDMError, match=sentence) as error:
        pretrained.sample(host, 1, start={"name": "host", **start})
    assert "\n" not in str(error.value)


def test_a_request_without_crystals_has_no_host(tiny_ldm: LDMModule) -> None:
    with pytest.raises(CrystalLDMError, match="The start Host needs crystals"):
        tiny_ldm.sample(CrystalBatch.from_formulas(["NaCl"]), 1, start=Host(rest="Li"))


def test_plain_data_and_back() -> None:
    start = Host(keep=np.array([2, 0]), replace={1: "Nb"}, rest="O?")
    data = json.loads(json.dumps(start.to_dict()))
    assert Host.make(data) == start and start.keep == (2, 0)
