"""Which prototype a formula's first crystal starts from."""

import json
import warnings

import numpy as np
import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.space_groups import space_groups_of
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.recipe import from_recipe
from crystal_ldm.sampling.starts.votes import CANDIDATES, Votes


@pytest.fixture(scope="module")
def shipped() -> LDMModule:
    return load_pretrained()


def _numbers(formula: str) -> np.ndarray:
    return CrystalBatch.from_formulas([formula], formula_units=[1]).atomic_numbers[0].numpy()


@pytest.mark.parametrize(
    ("formula", "nearest", "first"),
    [("CsI", 225, 221), ("MgS", 216, 225), ("TiSe2", 42, 164), ("LiF", 225, 225)],
)
def test_a_vote_finds_the_structure_that_the_nearest_prototype_lacks(
    shipped: LDMModule, formula: str, nearest: int, first: int
) -> None:
    known, numbers = shipped.training_crystals, _numbers(formula)
    prototypes = known.search.nearest(numbers, CANDIDATES)
    assert known.space_group(prototypes[0].row) == nearest
    ordered = Votes(shipped, 5).order(numbers, prototypes)
    assert known.space_group(ordered[0].row) == first
    # The others stay in order, and nothing of the formula's atoms' order counts.
    assert ordered[1:] == [one for one in prototypes if one != ordered[0]]
    assert Votes(shipped, 5).order(numbers[::-1].copy(), prototypes) == ordered
    assert Votes(shipped, 0).order(numbers, prototypes) == prototypes


def test_the_first_crystal_of_predict_is_the_one_that_was_voted_for(shipped: LDMModule) -> None:
    batch = CrystalBatch.from_formulas(["CsI", "MgS"], formula_units=[1, 1])
    out = shipped.sample(batch, 3, preset="predict")
    assert space_groups_of(out.crystals[torch.tensor([0, 3])], 0.1) == [221, 225]
    # It is so whatever else is asked for, and with any seed.
    alone = shipped.sample(batch[torch.tensor([0])], 1, preset="predict", seed=3, batch_size=1)
    assert torch.allclose(alone.crystals.lattices[0], out.crystals.lattices[0], atol=1e-4)
    # Its group has had a turn.
    groups = out.crystals.conditions["space_group"].view(2, 3)
    assert groups[0, 1] != 221
    assert groups[1, 1] != 225
    # Recipes of before say nothing of votes, and have the nearest prototype first.
    recipe = json.loads(json.dumps(out.recipe))
    assert recipe["sampling"]["start"].pop("votes") == 5
    before = from_recipe(json.dumps(recipe).encode(), ldm=shipped)
    assert space_groups_of(before.crystals[torch.tensor([0, 3])], 0.1) == [225, 216]


def test_a_formula_that_the_model_drew_is_not_voted_on(
    shipped: LDMModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    order = Votes.order
    monkeypatch.setattr(
        Votes, "order", lambda self, n, p: (asked.append(n.tobytes()), order(self, n, p))[1]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shipped.sample(CrystalBatch.from_formulas(["Sr?O3"]), 4, preset="predict")
    assert not asked
    shipped.sample(CrystalBatch.from_formulas(["CsI"], [1]), 1, preset="predict")
    assert asked
