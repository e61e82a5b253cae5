from __future__ import annotations

import math

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure, SymmOp

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.geometry.distances import shortest_distance
from crystal_ldm.crystals.readers import Entry, Source, read_payload
from crystal_ldm.crystals.readers.objects import cell_of
from crystal_ldm.data.build import About, build_dataset
from crystal_ldm.data.cleaning import Filters, find_duplicates, prepare_entries
from crystal_ldm.data.oqmd import FILTERS

LIMITS = Filters(
    max_volume=80, min_distance=0.7, max_formation_energy=5, need_band_gap=True, unique=True
)


def entry(structure: Structure, name: str = "x", energy: float = math.nan, **labels) -> Entry:
    return Entry(name, "here", cell_of(structure)[0], {"band_gap": 1.0, **labels}, energy=energy)


def cubic(a: float, *species: str) -> Structure:
    return Structure(np.eye(3) * a, species, [[0.5 * i] * 3 for i in range(len(species))])


def rejected_as(item: Entry) -> str | None:
    _, rejected = prepare_entries([item], LIMITS)
    return rejected[0].kind if rejected else None


def test_each_limit_rejects_what_lies_beyond_it_alone():
    good = cubic(4.1, "Cs", "Cl")
    assert rejected_as(entry(good)) is None
    assert rejected_as(entry(good, band_gap=math.nan)) == "no band gap"
    kind = "formation energy not within 5 eV/atom"
    assert rejected_as(entry(good, formation_energy_per_atom=-5.0)) == kind
    assert rejected_as(entry(good, formation_energy_per_atom=4.99)) is None
    assert rejected_as(entry(good, formation_energy_per_atom=math.nan)) == kind
    assert rejected_as(entry(cubic(160.1 ** (1 / 3), "Cs", "Cl"))) == "80 Å³ per atom or more"
    assert rejected_as(entry(cubic(159.9 ** (1 / 3), "Cs", "Cl"))) is None
    assert rejected_as(entry(cubic(0.8, "H", "F"))) == "atoms within 0.7 Å"
    long_cell = Structure(
        np.diag([3.0, 3.0, 90.0]), ["Na"] * 21 + ["Cl"], np.linspace(0, 0.95, 66).reshape(22, 3)
    )
    assert rejected_as(entry(long_cell)) == "more than 20 atoms"


def test_an_atoms_own_image_counts_as_a_distance():
    assert rejected_as(entry(cubic(0.69, "Po"))) == "atoms within 0.7 Å"
    assert shortest_distance(cell_of(cubic(3.35, "Po"))[0]) == pytest.approx(3.35)


def test_a_supercell_counts_as_its_primitive_cell(structures: list[Structure]):
    small = next(s for s in structures if len(s) == 4)
    kept, _ = prepare_entries([entry(small * (3, 2, 1))], LIMITS)
    assert len(kept[0][1].cell.numbers) == 4


def test_measures_agree_with_pymatgen(structures: list[Structure]):
    kept, _ = prepare_entries([entry(s) for s in structures[:40]], Filters())
    for (_, prepared), structure in zip(kept, structures, strict=False):
        neighbours = structure.get_all_neighbors(6.0)
        nearest = min((n.nn_distance for ns in neighbours for n in ns), default=math.inf)
        if nearest < 6.0:
            assert prepared.distance == pytest.approx(nearest, abs=1e-4)
        volume = structure.volume / len(structure)
        assert prepared.cell.volume / len(prepared.cell) == pytest.approx(volume, rel=1e-6)


def disguise(structure: Structure, rng: np.random.Generator) -> Structure:
    """The same crystal in a rotated, shifted, slightly strained supercell with shuffled atoms."""
    other = structure.copy()
    other.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    other.translate_sites(list(range(len(other))), rng.random(3), to_unit_cell=True)
    axis, angle = rng.normal(size=3), rng.uniform(0, 360)
    other.apply_operation(SymmOp.from_axis_angle_and_translation(axis, angle))
    other.scale_lattice(other.volume * 1.05)
    return Structure.from_sites([other[i] for i in rng.permutation(len(other))])


def test_disguised_copies_are_removed_and_the_lowest_in_energy_stays(structures):
    rng = np.random.default_rng(0)
    distinct = list({s.composition.reduced_formula: s for s in structures}.values())[:20]
    lower = [entry(disguise(s, rng), f"low-{i}", energy=-2.0) for i, s in enumerate(distinct)]
    higher = [entry(s, f"high-{i}", energy=-1.0) for i, s in enumerate(distinct)]
    unknown = [entry(disguise(s, rng), f"none-{i}") for i, s in enumerate(distinct[:5])]
    stored = build_dataset(
        Source([*unknown, *higher, *lower]),
        About("copies"),
        Filters(unique=True),
    )
    assert stored.ids == [e.id for e in lower]
    assert stored.report.counts() == {"duplicate": 25}
    assert "low-3" in next(r.reason for r in stored.report.rejected if r.id == "high-3")


def test_duplicates_are_those_of_structure_matcher(oqmd_entries, as_structure):
    """On real crystals of the same formulas, against pymatgen's own grouping."""
    small = [e for e in oqmd_entries if len(e.payload.numbers) <= 16]
    kept, _ = prepare_entries(small, Filters(max_atoms=4))
    cells = [prepared.cell for _, prepared in kept]
    anonymous = [  # all crystals of a size as if they were one element: many near matches
        Cell(c.lattice, c.frac_coords, np.full(len(c.numbers), 14)) for c in cells
    ]
    anonymous = anonymous[:60]
    energies = np.random.default_rng(0).normal(size=len(anonymous)).tolist()
    ours = find_duplicates(anonymous, ["Si"] * len(anonymous), energies)
    order = np.argsort(energies)
    structures = [
        Structure(
            anonymous[i].lattice, ["Si"] * len(anonymous[i].numbers), anonymous[i].frac_coords
        )
        for i in order
    ]
    for structure, i in zip(structures, order, strict=True):
        structure.properties["position"] = int(i)
    groups = StructureMatcher().group_structures(structures)
    theirs = {
        s.properties["position"]: group[0].properties["position"]
        for group in groups
        for s in group[1:]
    }
    assert 5 < len(ours) < len(anonymous) - 5
    assert ours == theirs


@pytest.mark.slow
def test_oqmd_is_cleaned_to_its_limits(oqmd_entries):
    stored = build_dataset(
        Source(oqmd_entries[:200]),
        About("oqmd", official_splits=False),
        FILTERS,
    )
    report = stored.report
    assert report.found == 200 and report.kept + len(report.rejected) == 200
    assert {"more than 20 atoms"} <= set(report.counts())
    for i, n in enumerate(stored.tensors["num_atoms"].tolist()):
        lattice = stored.tensors["lattices"][i].double().numpy()
        coords = stored.tensors["frac_coords"][i, :n].double().numpy()
        cell = read_payload(Cell(lattice, coords, stored.tensors["atomic_numbers"][i, :n].numpy()))[
            0
        ].checked()
        assert n <= 20 and cell.volume / n < 80 and shortest_distance(cell) > 0.7
    assert stored.tensors["label:band_gap"].isfinite().all()
    assert (stored.tensors["label:formation_energy_per_atom"].abs() < 5).all()
