"""The batch object and the canonical form: the same crystal in, the same crystal out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals import CrystalBatch, canonical_form
from crystal_ldm.crystals.canonical import canonical_arrays
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.geometry.distances import shortest_distance, shortest_distances
from crystal_ldm.crystals.lattice import lattice_to_log, log_to_lattice, scale_by_atoms
from crystal_ldm.errors import CrystalLDMError, DataError, RequestError


def rewritten(structure: Structure, seed: int) -> Structure:
    """The same crystal with another origin, other axes and another order of atoms."""
    rng = np.random.default_rng(seed)
    changed = structure.copy()
    changed.translate_sites(list(range(len(changed))), rng.random(3))
    candidates = rng.integers(-1, 2, (500, 3, 3))
    basis = next(m for m in candidates if round(np.linalg.det(m)) == 1)
    changed.make_supercell(basis, to_unit_cell=True)
    order = rng.permutation(len(changed))
    return Structure.from_sites([changed[int(i)] for i in order])


def test_structures_come_back_the_same(known_crystals: list[Structure]) -> None:
    back = CrystalBatch.from_structures(known_crystals).to_structures()
    matcher = StructureMatcher()
    assert all(matcher.fit(a, b) for a, b in zip(known_crystals, back, strict=True))


def test_shortest_distances_are_those_of_each_crystal(known_crystals: list[Structure]) -> None:
    rng = np.random.default_rng(0)
    crowded = [
        Structure(Lattice.from_parameters(*rng.uniform(3, 6, 3), *rng.uniform(70, 110, 3)),
                  ["Na"] * n, rng.random((n, 3)))
        for n in (1, 2, 5, 12)
    ]  # fmt: skip
    crystals = [*known_crystals, *crowded]
    batch = CrystalBatch.from_structures(crystals)
    exact = [shortest_distance(Cell.from_structure(s)) for s in batch.to_structures()]
    assert shortest_distances(batch).tolist() == pytest.approx(exact, rel=1e-4)
    repeated = batch[torch.arange(len(batch)).repeat(100)]
    assert shortest_distances(repeated).tolist() == pytest.approx(exact * 100, rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_canonical_form_does_not_depend_on_the_description(
    known_crystals: list[Structure], seed: int
) -> None:
    first = CrystalBatch.from_structures(known_crystals)
    second = CrystalBatch.from_structures([rewritten(s, seed) for s in known_crystals])
    assert torch.equal(first.atomic_numbers, second.atomic_numbers)
    difference = first.frac_coords - second.frac_coords
    assert (difference - difference.round()).abs().max() < 1e-3
    assert torch.allclose(first.lattices, second.lattices, atol=1e-3)


def test_canonical_form_is_primitive_and_starts_at_an_atom(known_crystals: list[Structure]) -> None:
    rock_salt = canonical_form(known_crystals[1])
    assert len(known_crystals[1]) == 8 and len(rock_salt) == 2
    assert [s.specie.symbol for s in rock_salt] == ["Na", "Cl"]
    assert np.allclose(rock_salt.frac_coords[0], 0)


def test_supercell_is_reduced(known_crystals: list[Structure]) -> None:
    large = known_crystals[0] * (2, 2, 1)
    assert len(canonical_form(large)) == 5


def test_handedness_is_kept() -> None:
    """A chiral crystal and its mirror image stay two crystals."""
    quartz = Structure.from_spacegroup(
        "P3_221", Lattice.hexagonal(4.91, 5.4), ["Si", "O"], [[0.47, 0, 2 / 3], [0.41, 0.27, 0.78]]
    )
    mirrored = Structure(quartz.lattice, quartz.species, quartz.frac_coords * [1, 1, -1])
    numbers = np.array([s.specie.Z for s in quartz])
    _, left, _ = canonical_arrays(quartz.lattice.matrix, quartz.frac_coords, numbers)
    numbers = np.array([s.specie.Z for s in mirrored])
    _, right, _ = canonical_arrays(mirrored.lattice.matrix, mirrored.frac_coords, numbers)
    assert np.abs((left - right) - np.round(left - right)).max() > 0.01


def test_indexing_and_joining(known_batch: CrystalBatch) -> None:
    parts = [known_batch[i] for i in range(len(known_batch))]
    joined = CrystalBatch.cat(parts)
    assert torch.equal(joined.atomic_numbers, known_batch.atomic_numbers)
    assert joined.formulas == known_batch.formulas
    assert torch.equal(
        joined.conditions["band_gap"].isnan(), known_batch.conditions["band_gap"].isnan()
    )
    assert known_batch[[4]].atomic_numbers.shape == (1, 1)
    assert known_batch[-2:].formulas == known_batch.formulas[-2:]


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (Structure(Lattice.cubic(3), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]), "disordered"),
        (Structure(Lattice.cubic(3), ["Na"], [[np.nan, 0, 0]]), "not finite"),
        (Structure(Lattice.cubic(3), [], []), "no atoms"),
        (Structure(Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), ["Na"], [[0, 0, 0]]), "no volume"),
    ],
)
def test_bad_structures_are_refused_by_name(structure: Structure, words: str) -> None:
    with pytest.raises(DataError, match=words):
        CrystalBatch.from_structures([structure], ids=["my-crystal"])


def test_lattice_logarithm_is_exact_and_always_a_cell(known_batch: CrystalBatch) -> None:
    voigt = lattice_to_log(known_batch.lattices)
    assert torch.allclose(log_to_lattice(voigt), known_batch.lattices, atol=1e-4)
    volume = known_batch.lattices.det()
    assert torch.allclose(voigt[:, :3].sum(dim=1).exp(), volume, rtol=1e-4)
    shifted = scale_by_atoms(scale_by_atoms(voigt, known_batch.num_atoms), known_batch.num_atoms, 1)
    assert torch.allclose(shifted, voigt, atol=1e-6)
    wild = log_to_lattice(torch.tensor([[50.0, -90.0, 3.0, 40.0, float("nan"), 1e9]]))
    assert wild.isfinite().all() and wild.double().det() > 0


def test_requests_read_back(known_batch: CrystalBatch) -> None:
    request = CrystalBatch.from_formulas(
        ["SrTiO3", "Ca?O3"],
        [1, 2],
        forbidden=["Pb"],
        band_gap=[(1.0, 2.0), None],
        system=["cubic", None],
    )
    again = CrystalBatch.from_request(request.to_request())
    assert torch.equal(again.atomic_numbers, request.atomic_numbers)
    assert again.to_request() == request.to_request()
    assert again.element_rules == request.element_rules
    assert request.num_atoms.tolist() == [5, 10]
    with pytest.raises(RequestError, match="not a request made by"):
        CrystalBatch.from_request({**request.to_request(), "conditions": ["band_gap"]})


def test_wrong_numbers_of_values_are_refused() -> None:
    with pytest.raises(RequestError, match="3 values for 2 rows"):
        CrystalBatch.from_formulas(["NaCl", "KCl"], band_gap=[1.0, 2.0, 3.0])
    with pytest.raises(RequestError, match="above"):
        CrystalBatch.from_formulas(["NaCl"], band_gap=[(3.0, 1.0)])
    with pytest.raises(DataError, match="requests"):
        CrystalBatch.from_formulas(["NaCl"]).to_structures()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"band_gap": (float("nan"), 2)}, "band_gap"),
        ({"band_gap": (3, 2)}, "range of 'band_gap'"),
        ({"band_gap": [1.0, 2.0]}, "2 values for 1 rows"),
        ({"space_group": [{221}]}, r"'space_group' is the set \{221\}"),
    ],
)
def test_targets_that_make_no_sense_are_one_sentence(more: dict, sentence: str) -> None:
    with pytest.raises(CrystalLDMError, match=sentence) as caught:
        CrystalBatch.from_formulas(["NaCl"], **more)
    assert "\n" not in str(caught.value)


def test_as_many_ids_as_crystals() -> None:
    salt = Structure(Lattice.cubic(3.9), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert CrystalBatch.from_structures([salt], ids=["a"]).ids == ["a"]
    with pytest.raises(CrystalLDMError, match="2 ids for 1 crystals"):
        CrystalBatch.from_structures([salt], ids=["a", "b"])


def test_a_set_has_no_order() -> None:
    with pytest.raises(CrystalLDMError, match="order of a set"):
        CrystalBatch.from_formulas({"NaCl", "KCl"})
    with pytest.raises(CrystalLDMError, match="order of a set"):
        CrystalBatch.from_structures({"a.cif", "b.cif"})


def test_tables_and_their_ids_are_labels_and_names() -> None:
    salt = Structure(Lattice.cubic(3.9), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    table = pd.DataFrame({"gap": [1.0, 2.0], "kind": ["a", None]}, index=[7, 9])
    batch = CrystalBatch.from_structures([salt, salt], conditions=table, ids=table.index)
    assert batch.conditions["gap"].tolist() == [1.0, 2.0]
    assert batch.conditions["kind"] == ["a", None]
    assert batch.ids == ["7", "9"]
    for wrong in ([1.0, 2.0], table["gap"], "gap"):
        with pytest.raises(CrystalLDMError, match="labels by name"):
            CrystalBatch.from_structures([salt, salt], conditions=wrong)
    with pytest.warns(UserWarning, match=r"^1 ids came more than once \(1\) and got a suffix"):
        assert CrystalBatch.from_structures([salt, salt], ids=[1, 1]).ids == ["1", "1-2"]
    with pytest.raises(CrystalLDMError, match="not int"):
        CrystalBatch.from_structures([salt], ids=5)


def test_element_lists_that_can_do_nothing_are_refused() -> None:
    with pytest.raises(CrystalLDMError, match="O is forbidden, and 'SrTiO3' has it"):
        CrystalBatch.from_formulas(["NaCl", "SrTiO3"], forbidden="O")
    with pytest.raises(
        CrystalLDMError, match="Sr, Ti is not among the allowed, and 'SrTiO3' has it"
    ):
        CrystalBatch.from_formulas(["SrTiO3"], allowed="O, Na")
    CrystalBatch.from_formulas(["SrTiO3"], forbidden="Pb", allowed="Sr, Ti, O")
    assert CrystalBatch.from_formulas(["SrTiO3", "Sr?O3"], forbidden="O").element_rules
