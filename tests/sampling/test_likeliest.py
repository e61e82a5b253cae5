"""Of many crystals of a formula those come first that known crystals of similar ones confirm."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.data import load_dataset
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.sampling.result import SampleResult


@pytest.fixture(scope="module")
def shipped() -> LDMModule:
    return load_pretrained()


def result_of(ldm: LDMModule, rows: list[list[Cell]]) -> SampleResult:
    """A result with given crystals: as many of each row, all of a row with the same atoms."""
    crystals = CrystalBatch.from_cells([cell for row in rows for cell in row])
    request = CrystalBatch(crystals.atomic_numbers, crystals.num_atoms)[
        slice(0, None, len(rows[0]))
    ]
    made = ldm.sample(request, len(rows[0]), sampling_steps=1)
    return replace(made, crystals=crystals)


def in_order_of_elements(cell: Cell) -> Cell:
    order = np.argsort(cell.numbers, kind="stable")
    return Cell(cell.lattice, np.asarray(cell.frac_coords)[order], np.asarray(cell.numbers)[order])


def test_the_right_one_of_several_comes_first(shipped: LDMModule) -> None:
    """Crystals of the validation set, which no network has seen, after three of far relatives."""
    dataset, known = load_dataset("oqmd_icsd", progress=False), shipped.training_crystals
    rows = []
    for cell in dataset.batch(dataset.indices("val")[:90]).to_cells():
        relatives = known.search.nearest(np.asarray(cell.numbers), 40)
        if len(relatives) == 40:
            wrong = [known.search.cell(relatives[i]) for i in (19, 29, 39)]
            rows.append([in_order_of_elements(one) for one in (*wrong, cell)])
    assert len(rows) > 20
    first = result_of(shipped, rows).likeliest(1, shipped, workers=1)
    assert len(first) == len(rows)
    assert (first.number == 3).float().mean() > 0.5


def test_the_closest_of_each_prototype_then_the_second_closest_then_the_others(
    shipped: LDMModule,
) -> None:
    known, formula = shipped.training_crystals, CrystalBatch.from_formulas(["KMgF3"])
    numbers = formula.atomic_numbers[0].numpy()
    cubic = known.search.cell(known.ranking.likeliest(numbers, 1)[0])
    lattice, coords = np.asarray(cubic.lattice), np.asarray(cubic.frac_coords)
    heap = Cell(lattice, coords * 0.1, cubic.numbers)
    moved = [coords.copy() for _ in range(3)]
    for near, by in zip(moved, (0.06, 0.04, 0.02), strict=True):
        near[-1, 0] += by
    close = [Cell(lattice, near, cubic.numbers) for near in moved]
    result = result_of(shipped, [[heap, *close, heap]])
    ordered = result.likeliest(5, shipped).number.tolist()
    assert ordered[0] == 3
    assert set(ordered[:3]) == {1, 2, 3}
    assert ordered[3:] == [0, 4]
    assert result.likeliest(2, shipped).number.tolist() == ordered[:2]
    assert result.likeliest(2, shipped, workers=2).number.tolist() == ordered[:2]


def test_open_formulas_and_those_without_relatives_stay_as_they_are(shipped: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["K?", "Li3Al5B7"])
    made = shipped.sample(request, 4, sampling_steps=1)
    few = made.likeliest(2, shipped)
    assert (few.row.tolist(), few.number.tolist()) == ([0, 0, 1, 1], [0, 1, 0, 1])
    assert len(made[[]].likeliest(2, shipped)) == 0


def test_what_cannot_be_said_is_refused(tiny_ldm: LDMModule, shipped: LDMModule) -> None:
    made = tiny_ldm.sample(CrystalBatch.from_formulas(["NaCl"]), 3, sampling_steps=1)
    bare = copy.deepcopy(tiny_ldm)
    bare.training_crystals = TrainingCrystals()
    with pytest.raises(RequestError, match="Which crystals are likely cannot be said"):
        made.likeliest(2, bare)
    with pytest.raises(RequestError, match="count must be a whole number"):
        made.likeliest(0, shipped)
