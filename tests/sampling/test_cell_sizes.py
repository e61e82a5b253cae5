"""Formula units that nobody gave: the likely ones with `predict`, else one."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.recipe import from_recipe
from crystal_ldm.sampling.cell_sizes import likely_units
from crystal_ldm.sampling.denoising import Order
from crystal_ldm.sampling.recipe import recipe_of_row
from crystal_ldm.sampling.sample import place_order

SEVERAL = {1: 0.5, 2: 0.3, 4: 0.2}


@pytest.fixture(scope="module")
def shipped() -> LDMModule:
    return load_pretrained()


def order(ldm: LDMModule, request: CrystalBatch, **settings: Any) -> tuple[Order, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        placed = place_order(ldm, request, 10, settings)
    return placed, [str(one.message) for one in said]


def sizes(placed: Order, row: int = 0) -> list[int]:
    return [len(placed.plan.draft(row, number).atomic_numbers) for number in range(10)]


def test_predict_takes_the_likely_ones_and_says_so(shipped: LDMModule) -> None:
    placed, said = order(shipped, CrystalBatch.from_formulas(["LiFePO4", "MgO"]), preset="predict")
    assert sizes(placed)[0] == 14, "its known crystals have two formula units, and never one"
    assert sizes(placed, 1)[0] == 2
    assert "LiFePO4 takes 2 formula units (14 atoms)" in said[0]
    assert "known crystals have" in said[0] and "formula_units=1" in said[0]
    assert not any("or more" in text for text in said), "what is known is what was taken"
    # A formula of no training crystal has those of its relatives.
    shares, why = likely_units(
        shipped, CrystalBatch.from_formulas(["KMgI3"]).atomic_numbers[0].numpy()
    )
    assert set(shares) <= {1, 2, 3, 4} and "similar formulas, such as" in why


@pytest.mark.parametrize("preset", ["explore", "discover"])
def test_other_presets_take_one(shipped: LDMModule, preset: str) -> None:
    left_out, _ = order(shipped, CrystalBatch.from_formulas(["LiFePO4"]), preset=preset)
    given, _ = order(shipped, CrystalBatch.from_formulas(["LiFePO4"], 1), preset=preset)
    assert left_out.recipe == given.recipe, "runs and recipes of before are the same request"
    assert "formula_units" not in left_out.recipe["request"]
    asked, _ = order(shipped, CrystalBatch.from_formulas(["LiFePO4"], "likely"), preset=preset)
    assert sizes(asked)[0] == 14


def test_numbers_are_obeyed(shipped: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["LiFePO4", "MgO"], [1, 4])
    assert request.formula_units is None, "the rows are the cells, as in all requests of before"
    placed, said = order(shipped, request, preset="predict")
    assert (set(sizes(placed)), set(sizes(placed, 1))) == ({7}, {8})
    assert "formula_units" not in placed.recipe["request"]
    assert len(said) == 1 and "LiFePO4 has 14 atoms or more" in said[0]
    mixed, _ = order(shipped, CrystalBatch.from_formulas(["LiFePO4"] * 2, [1, None]),
                     preset="predict")  # fmt: skip
    assert set(sizes(mixed)) == {7} and sizes(mixed, 1)[0] == 14
    open_atoms, _ = order(shipped, CrystalBatch.from_formulas(["Sr?O3"]), preset="predict")
    assert set(sizes(open_atoms)) == {5}


def test_a_space_group_decides_too(shipped: LDMModule) -> None:
    for group, atoms in (("Pnma", 20), ("Pm-3m", 5)):
        request = CrystalBatch.from_formulas(["CaTiO3"], space_group=group)
        placed, said = order(shipped, request, preset="predict")
        assert set(sizes(placed)) == {atoms}, said


def test_the_recipe_says_what_was_taken(shipped: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["MgO", "CaF2"], [SEVERAL, 1])
    out = shipped.sample(request, 4, preset="predict", sampling_steps=1, filters=[])
    assert out.crystals.num_atoms.tolist() == [2, 4, 2, 8, 3, 3, 3, 3]
    assert out.recipe["request"]["formula_units"] == [{"1": 0.5, "2": 0.3, "4": 0.2}, None]
    text = json.dumps(out.recipe)
    again = from_recipe(text.encode(), ldm=shipped)
    assert torch.equal(again.crystals.lattices, out.crystals.lattices)
    one = {**recipe_of_row(json.loads(text), 0), "row": 0, "number": 3}
    (size,) = from_recipe(json.dumps(one).encode(), ldm=shipped).crystals.num_atoms.tolist()
    assert size == 8
    # The first crystal of each size starts from the nearest prototype, without a space group.
    groups = out.crystals.conditions["space_group"][:4]
    assert groups.isnan().tolist() == [True, True, False, True]


def test_shares_are_kept_and_checked(tiny_ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["NaCl", "NaCl", "ZnS"], [SEVERAL, 2, None])
    assert request[[2, 0]].units() == ["not given", SEVERAL]
    joined = CrystalBatch.cat([CrystalBatch.from_num_atoms(3), request.to("cpu")])
    assert joined.units() == [None, SEVERAL, None, "not given"]
    again = CrystalBatch.from_request(json.loads(json.dumps(joined.to_request())))
    assert again.units() == joined.units() and again.to_request() == joined.to_request()
    with pytest.raises(RequestError, match="2000 atoms in the cell"):
        tiny_ldm.sample(CrystalBatch.from_formulas("NaCl", {1: 1, 1000: 0.1}))
    for wrong in ("two", {}, {0: 1}, {1.5: 1}, {"x": 1}, 0, True, [[1]]):
        with pytest.raises(RequestError, match="whole numbers from 1 to 1000"):
            CrystalBatch.from_formulas(["NaCl"], wrong)
    for share in (0, -1, "half", None, float("nan")):
        with pytest.raises(RequestError, match="the share of the crystals"):
            CrystalBatch.from_formulas(["NaCl"], {1: share})
    for stored in ([2, None, None], [None]):
        data = {**joined.to_request(), "formula_units": stored}
        with pytest.raises(RequestError, match="what its rows hold"):
            CrystalBatch.from_request(data)
