"""CIFs: the crystal that was made, in the standard setting of its group, for every reader."""

from __future__ import annotations

import io

import ase.io
import gemmi
import numpy as np
import pytest
import spglib
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.readers.entries import read_payload
from crystal_ldm.crystals.symmetry.space_groups import group_number, space_group
from crystal_ldm.crystals.writers import cif_without_symmetry, extxyz_frame, symmetrised_cif
from crystal_ldm.pretrained import load_pretrained

SYMPREC = 0.1


@pytest.fixture(scope="module")
def rattled(known_crystals: list[Structure]) -> list[Structure]:
    """Conventional cells and supercells of primitive ones, as they are and with moved atoms."""
    random = np.random.default_rng(0)
    cells = []
    for crystal in known_crystals:
        for cell in (crystal, crystal.get_primitive_structure() * (2, 1, 1)):
            for shift in (0.0, 0.05):
                moved = cell.copy()
                steps = random.uniform(-shift, shift, (len(cell), 3))
                for i, step in enumerate(steps):
                    moved.translate_sites([i], step, frac_coords=False)
                cells.append(moved)
    return cells


def readings(cif: str) -> dict[str, Structure]:
    """Return what each reader finds in a CIF."""
    own, notes = read_payload(cif)
    assert not notes
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(cif).sole_block())
    sites = small.get_all_unit_cell_sites()
    by_ase = ase.io.read(io.StringIO(cif), format="cif")
    return {
        "pymatgen": Structure.from_str(cif, fmt="cif"),
        "own": own.to_structure(),
        "gemmi": Structure(
            Lattice.from_parameters(*small.cell.parameters),
            [site.element.name for site in sites],
            [site.fract.tolist() for site in sites],
        ),
        "ase": Structure(by_ase.cell.array, by_ase.numbers.tolist(), by_ase.get_scaled_positions()),
    }


@pytest.mark.slow
def test_every_reader_finds_the_crystal_and_its_group(rattled: list[Structure]) -> None:
    groups = []
    for structure in rattled:
        cif, symbol = symmetrised_cif(Cell.from_structure(structure), SYMPREC)
        groups.append(group_number(symbol))
        for reader, read in readings(cif).items():
            assert read.composition.reduced_formula == structure.composition.reduced_formula, reader
            assert StructureMatcher().fit(read, structure), reader
            assert space_group(Cell.from_structure(read), 1e-3) == groups[-1], reader
        block = gemmi.cif.read_string(cif).sole_block()
        assert int(block.find_value("_symmetry_Int_Tables_number")) == groups[-1]
    assert {221, 225, 216, 227, 229, 136, 194, 1} <= set(groups)


def test_real_crystals_are_written_as_they_are() -> None:
    """Those of the shipped model's training set, which lie on a grid, some 0.01 Å off."""
    crystals = load_pretrained().training_crystals.crystals
    rows = np.random.default_rng(0).choice(len(crystals), 40, replace=False)
    as_spglib_says = 0
    for crystal in crystals[rows].to_cells():
        cif, symbol = symmetrised_cif(crystal, SYMPREC)
        read, _ = read_payload(cif)
        assert StructureMatcher().fit(read.to_structure(), crystal.to_structure())
        assert space_group(read, 1e-3) == group_number(symbol)
        as_spglib_says += group_number(symbol) == space_group(crystal, SYMPREC)
    assert as_spglib_says >= 38


def test_group_and_cell_are_those_of_pymatgen(known_crystals: list[Structure]) -> None:
    for structure in known_crystals:
        cif, symbol = symmetrised_cif(Cell.from_structure(structure), SYMPREC)
        analyzer = SpacegroupAnalyzer(structure, symprec=SYMPREC)
        assert symbol == analyzer.get_space_group_symbol()
        refined = analyzer.get_refined_structure()
        read = Structure.from_str(cif, fmt="cif")
        assert read.lattice.parameters == pytest.approx(refined.lattice.parameters, abs=1e-4)
        assert len(read) == len(refined)


@pytest.mark.parametrize("hall_number", range(1, 531, 23))
def test_operations_are_those_of_the_setting(hall_number: int) -> None:
    """An atom in a general position comes back as one orbit, whatever the group."""
    database = spglib.get_symmetry_from_database(hall_number)
    place, lattice = np.array([0.123, 0.157, 0.291]), np.eye(3) * 9
    if 430 <= hall_number <= 488:  # trigonal and hexagonal
        lattice = Lattice.hexagonal(9, 11).matrix
    images = database["rotations"] @ place + database["translations"]
    crystal = Cell.from_arrays([26] * len(images), images % 1, lattice)
    number = space_group(crystal, 0.01)
    cif, symbol = symmetrised_cif(crystal, 0.01)
    assert group_number(symbol) == number
    read, _ = read_payload(cif)
    assert space_group(read, 0.001) == number
    assert read.volume / len(read) == pytest.approx(crystal.volume / len(crystal), rel=1e-6)


def test_symmetry_is_found_within_the_tolerance(known_crystals: list[Structure]) -> None:
    rattled = known_crystals[0].copy()
    rattled.perturb(0.03)
    tight, loose = (symmetrised_cif(Cell.from_structure(rattled), s) for s in (0.001, 0.2))
    assert loose[1] == "Pm-3m" and tight[1] == "P1"
    back = Structure.from_str(loose[0], fmt="cif")
    assert StructureMatcher().fit(back, known_crystals[0])


def test_symmetrising_never_changes_the_formula() -> None:
    """A generated SrTiO3 that pymatgen writes as SrTi2O4 when symmetrised within 0.1 Å."""
    frac_coords = [
        [0.0001, 0.9999, 1.0],
        [0.4982, 0.5001, 0.5013],
        [0.0029, 0.5053, 0.5013],
        [0.5001, 0.0146, 0.5092],
        [0.5009, 0.503, 0.0114],
    ]
    lattice = Lattice.from_parameters(4.0274, 4.0162, 3.9537, 90.759, 90.2721, 89.9725)
    made = Structure(lattice, ["Sr", "Ti", "O", "O", "O"], frac_coords)
    cif, _ = symmetrised_cif(Cell.from_structure(made), 0.1)
    back = Structure.from_str(cif, fmt="cif")
    assert back.composition.reduced_formula == "SrTiO3"
    assert StructureMatcher().fit(back, made)


def test_what_is_nearly_a_supercell_stays_the_crystal() -> None:
    """Seven atoms of niobium (MP-20) that spglib takes for one within 0.1 Å, in a cell 3 % off."""
    lattice = Lattice([[2.773, 0.0, 0.212], [0.092, 4.583, 0.903], [0.0, 0.0, 9.953]])
    frac_coords = [
        [0.647, 0.218, 0.572],
        [0.352, 0.782, 0.429],
        [0.941, 0.649, 0.714],
        [0.062, 0.349, 0.287],
        [0.225, 0.079, 0.857],
        [0.776, 0.923, 0.143],
        [0.501, 0.500, 0.000],
    ]
    niobium = Structure(lattice, ["Nb"] * 7, frac_coords)
    cif, _ = symmetrised_cif(Cell.from_structure(niobium), SYMPREC)
    assert StructureMatcher().fit(Structure.from_str(cif, fmt="cif"), niobium)


def test_a_crowded_cell_is_written_as_it_is() -> None:
    """Atoms nearer to one another than the tolerance cannot be told apart by symmetry."""
    crowded = Cell.from_arrays(
        [11, 11, 17], [[0, 0, 0], [0.004, 0.002, 0], [0.5, 0.45, 0.48]], np.eye(3) * 5
    )
    cif, symbol = symmetrised_cif(crowded, 1.0)
    read, _ = read_payload(cif)
    assert sorted(read.numbers) == [11, 11, 17]
    assert space_group(read, 1e-4) == group_number(symbol)


def test_a_cif_without_symmetry_has_the_cell_as_it_is(known_crystals: list[Structure]) -> None:
    for structure in known_crystals:
        read = Structure.from_str(cif_without_symmetry(Cell.from_structure(structure)), fmt="cif")
        assert len(read) == len(structure)
        assert read.lattice.parameters == pytest.approx(structure.lattice.parameters, abs=1e-6)
        apart = structure.lattice.get_all_distances(structure.frac_coords, read.frac_coords)
        assert apart.min(axis=1).max() < 1e-5


def test_a_frame_holds_the_cell_as_it_is(known_crystals: list[Structure]) -> None:
    for structure in known_crystals:
        atoms = ase.io.read(
            io.StringIO(extxyz_frame(Cell.from_structure(structure), "one")), format="extxyz"
        )
        assert atoms.info["id"] == "one"
        assert np.allclose(atoms.cell.array, structure.lattice.matrix, atol=1e-6)
        assert np.allclose(atoms.positions, structure.cart_coords, atol=1e-6)
