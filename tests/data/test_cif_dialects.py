"""A crystal written in any dialect of CIF is the same crystal when read, or it is refused.

The writer is made here, from spglib's settings and operations, and shares nothing with the reader.
`--hypothesis-profile=long` tries 2,000 cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import gemmi
import numpy as np
import pytest
import spglib
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice, Structure

from crystal_ldm.crystals.readers.cif import read_cif
from crystal_ldm.errors import DataError

CASES = 2000 if settings.default.max_examples >= 1000 else 40
EXACT = StructureMatcher(ltol=0.02, stol=0.05, angle_tol=1, scale=False)


@dataclass(frozen=True)
class Dialect:
    """How a CIF is written; see `write`."""

    operations: str  # equiv, symop, symop without quotes, equiv with ids, none, P1
    name: str  # spaced, short, underscores, qualified, letter, old, full, none, ?
    hall: bool
    number: bool
    decimals: int
    uncertainty: bool
    formula: str  # sum, ?, none
    z: bool
    multiplicity: bool
    elements: str  # symbols, charges, labels
    occupancy: str  # none, 1, 1.0, .
    ending: str
    first_block: bool

    @property
    def clear(self) -> bool:
        """Whether it says all that a reader needs."""
        listed = self.operations not in ("none",)
        return (listed or self.hall) and self.decimals >= 4

    @property
    def says_nothing(self) -> bool:
        """Whether it has no word on its symmetry."""
        return self.operations == self.name == "none" and not (self.hall or self.number)


DIALECTS = st.builds(
    Dialect,
    operations=st.sampled_from(["equiv", "symop", "bare", "ids", "none", "none", "none", "P1"]),
    name=st.sampled_from(
        ["spaced", "short", "underscores", "qualified", "letter", "old", "full", "none", "?"]
    ),
    hall=st.booleans(),
    number=st.booleans(),
    decimals=st.integers(3, 5),
    uncertainty=st.booleans(),
    formula=st.sampled_from(["sum", "?", "none"]),
    z=st.booleans(),
    multiplicity=st.booleans(),
    elements=st.sampled_from(["symbols", "charges", "labels"]),
    occupancy=st.sampled_from(["none", "1", "1.0", "."]),
    ending=st.sampled_from(["\n", "\r\n"]),
    first_block=st.booleans(),
)


def built() -> list[Structure]:
    """Crystals of groups with two origins, two axes or several settings."""
    cubic, third = Lattice.cubic, [1 / 3, 2 / 3, 0.0]
    make = Structure.from_spacegroup
    rhombohedral = Lattice.hexagonal(4.76, 12.99)
    return [
        make("Fd-3m", cubic(8.08), ["Mg", "Al", "O"], [[0] * 3, [0.625] * 3, [0.387] * 3]),
        make("Fd-3m", cubic(5.43), ["Si"], [[0, 0, 0]]),
        make("I4_1/amd", Lattice.tetragonal(3.785, 9.514), ["Ti", "O"], [[0] * 3, [0, 0, 0.208]]),
        make("R-3c", rhombohedral, ["Al", "O"], [[0, 0, 0.352], [0.306, 0, 0.25]]),
        make("R3m", Lattice.hexagonal(3.9, 9.6), ["Bi", "F"], [[0, 0, 0], [0, 0, 0.45]]),
        make("P4/nmm", Lattice.tetragonal(3.9, 5.0), ["Pb", "O"], [[0, 0.5, 0.24], [0, 0, 0]]),
        make("P6_3/mmc", Lattice.hexagonal(3.16, 12.3), ["Mo", "S"],
             [[1 / 3, 2 / 3, 0.25], [1 / 3, 2 / 3, 0.621]]),
        make("P6_3mc", Lattice.hexagonal(3.25, 5.2), ["Zn", "O"],
             [third, [1 / 3, 2 / 3, 0.382]]),
        make("Pnma", Lattice.orthorhombic(5.44, 7.64, 5.38), ["Ca", "Ti", "O", "O"],
             [[0.036, 0.25, 0.993], [0, 0, 0.5], [0.484, 0.25, 0.071], [0.289, 0.037, 0.711]]),
        make("P2_1/c", Lattice.monoclinic(5.15, 5.21, 5.31, 99.2), ["Zr", "O", "O"],
             [[0.275, 0.04, 0.208], [0.07, 0.332, 0.345], [0.45, 0.757, 0.479]]),
        make("C2/m", Lattice.monoclinic(5.63, 3.85, 6.0, 108.0), ["Al", "Cl"],
             [[0, 0.167, 0], [0.219, 0, 0.219]]),
        make("Ia-3", cubic(10.1), ["In", "In", "O"],
             [[0.25] * 3, [0.466, 0, 0.25], [0.39, 0.155, 0.382]]),
        make("P-3m1", Lattice.hexagonal(4.24, 6.84), ["Cd", "I"], [[0] * 3, [1 / 3, 2 / 3, 0.25]]),
        make("Pa-3", cubic(5.42), ["Fe", "S"], [[0] * 3, [0.385] * 3]),
    ]  # fmt: skip


@dataclass(frozen=True)
class InSetting:
    """A crystal in a setting of its space group: whole cell, operations, an atom of each orbit."""

    cell: Structure
    hall_number: int
    operations: list[str]
    representatives: list[tuple[int, int]]  # position in the cell, atoms of its orbit


def in_setting(structure: Structure, choice: int) -> InSetting | None:
    cell = (
        structure.lattice.matrix,
        structure.frac_coords,
        [site.specie.Z for site in structure],
    )
    standard = spglib.get_symmetry_dataset(cell, symprec=0.01)
    options = [h for h in range(1, 531) if _number(h) == standard.number]
    hall_number = options[choice % len(options)]
    data = spglib.get_symmetry_dataset(cell, symprec=0.01, hall_number=hall_number)
    database = spglib.get_symmetry_from_database(hall_number)
    coords, numbers = data.std_positions % 1.0, data.std_types
    owner = np.full(len(coords), -1)
    representatives = []
    for i in range(len(coords)):
        if owner[i] >= 0:
            continue
        images = database["rotations"] @ coords[i] + database["translations"]
        apart = images[:, None] - coords[None]
        near = (np.abs(apart - np.round(apart)).max(-1) < 2e-3) & (numbers == numbers[i])[None]
        if not near.any(axis=1).all():
            return None  # spglib's idealised cell is not quite of this setting
        orbit = np.flatnonzero(near.any(axis=0))
        owner[orbit] = i
        representatives.append((i, len(orbit)))
    triplets = []
    for rotation, shift in zip(database["rotations"], database["translations"], strict=True):
        op = gemmi.Op()
        op.rot = (rotation * gemmi.Op.DEN).tolist()
        op.tran = np.rint(shift * gemmi.Op.DEN).astype(int).tolist()
        triplets.append(op.triplet())
    whole = Structure(data.std_lattice, numbers.tolist(), coords)
    return InSetting(whole, hall_number, triplets, representatives)


@cache
def _number(hall_number: int) -> int:
    return spglib.get_spacegroup_type(hall_number).number


def write(crystal: InSetting, dialect: Dialect, seed: int) -> str:
    random = np.random.default_rng(seed)
    d = dialect
    whole = d.operations == "P1"
    lines = ["data_global", "_journal_year 1999", ""] if d.first_block else []
    lines.append("data_crystal")
    counts = crystal.cell.composition.get_el_amt_dict()
    units = int(np.gcd.reduce([int(n) for n in counts.values()]))
    if d.formula == "sum":
        text = " ".join(f"{s}{int(n) // units if n > units else ''}" for s, n in counts.items())
        lines.append(f"_chemical_formula_sum '{text}'")
    elif d.formula == "?":
        lines.append("_chemical_formula_sum ?")
    if d.z:
        lines.append(f"_cell_formula_units_Z {units}")
    lattice = crystal.cell.lattice

    def number(value: float, decimals: int) -> str:
        text = f"{value:.{decimals}f}"
        exact = float(text) in (0.0, 0.25, 0.5, 0.75, 90.0, 120.0, 60.0)
        if exact and random.random() < 0.5:
            return f"{float(text):g}"
        return f"{text}({random.integers(1, 10)})" if d.uncertainty and not exact else text

    for name, value in zip("abc", lattice.abc, strict=True):
        lines.append(f"_cell_length_{name} {number(value, max(4, d.decimals))}")
    for name, value in zip(("alpha", "beta", "gamma"), lattice.angles, strict=True):
        lines.append(f"_cell_angle_{name} {number(value, 4)}")
    lines += ["_symmetry_space_group_name_H-M 'P 1'"] if whole else _names(crystal, d)
    if d.operations not in ("none", "P1"):
        lines += _operations(crystal, d.operations)
    lines += ["loop_", "_atom_site_label"]
    lines += ["_atom_site_type_symbol"] if d.elements != "labels" else []
    lines += ["_atom_site_symmetry_multiplicity"] if d.multiplicity else []
    lines += [f"_atom_site_fract_{axis}" for axis in "xyz"]
    lines += ["_atom_site_occupancy"] if d.occupancy != "none" else []
    rows = crystal.representatives
    if whole:
        rows = [(i, 1) for i in range(len(crystal.cell))]
    for k, (i, size) in enumerate(rows):
        site = crystal.cell[i]
        symbol = site.specie.symbol
        words = [f"{symbol}{k + 1}"]
        words += [f"{symbol}{'2+' if d.elements == 'charges' else ''}"] * (d.elements != "labels")
        words += [str(size)] if d.multiplicity else []
        words += [number(x, d.decimals) for x in site.frac_coords]
        words += [d.occupancy] if d.occupancy != "none" else []
        lines.append(" ".join(words))
    return d.ending.join(lines) + d.ending


def _names(crystal: InSetting, d: Dialect) -> list[str]:
    kind = spglib.get_spacegroup_type(crystal.hall_number)
    ops = gemmi.GroupOps([gemmi.Op(text) for text in crystal.operations])
    group = gemmi.find_spacegroup_by_ops(ops)
    lines = []
    if d.hall:
        lines.append(f"_space_group_name_Hall '{kind.hall_symbol}'")
    if d.number:
        lines.append(f"_space_group_IT_number {kind.number}")
    if d.name == "?":
        lines.append("_space_group_name_H-M_alt ?")
    elif d.name != "none" and group is not None:
        quoted = group.hm
        choice = group.ext.replace("\0", "")
        letter = {"1": " S", "2": " Z", "H": " H", "R": " R"}.get(choice, "")
        name = {
            "short": group.short_name(),
            "underscores": quoted.replace(" ", "_"),
            "qualified": f"{quoted}{':' + choice if choice else ''}",
            "letter": quoted + letter,
            "old": quoted.replace(" -3", " 3") if kind.number >= 195 else quoted,
            "full": kind.international_full,
        }.get(d.name, quoted)
        lines.append(f"_symmetry_space_group_name_H-M '{name}'")
    return lines


def _operations(crystal: InSetting, how: str) -> list[str]:
    if how == "ids":
        lines = ["loop_", "_symmetry_equiv_pos_site_id", "_symmetry_equiv_pos_as_xyz"]
        return lines + [f"{i + 1} '{op}'" for i, op in enumerate(crystal.operations)]
    if how == "bare":
        return ["loop_", "_space_group_symop_operation_xyz", *crystal.operations]
    tag = "_symmetry_equiv_pos_as_xyz" if how == "equiv" else "_space_group_symop_operation_xyz"
    return ["loop_", tag, *(f"'{op.replace(',', ', ').upper()}'" for op in crystal.operations)]


@pytest.fixture(scope="module")
def crystals(structures: list[Structure]) -> list[Structure]:
    """Real crystals of a data set, and built ones."""
    return [*built() * 4, *structures]


@pytest.mark.timeout(3600)
@settings(max_examples=CASES)
@given(dialect=DIALECTS, seed=st.integers(0, 2**32))
def test_a_dialect_never_changes_a_crystal(
    crystals: list[Structure], dialect: Dialect, seed: int
) -> None:
    random = np.random.default_rng(seed)  # hypothesis would take the first of them most often
    structure = crystals[random.integers(len(crystals))]
    crystal = in_setting(structure, int(random.integers(18)))
    if crystal is None:
        event("no such setting")
        return
    text = write(crystal, dialect, seed)
    try:
        cell, notes, _ = read_cif(text)
    except DataError as error:
        event("refused: " + " ".join(str(error).split()[:5]))
        assert not dialect.clear, f"{error}\n{text}"
        return
    if dialect.says_nothing:  # then all that a reader can do is to say what it takes it for
        same = EXACT.fit(cell.to_structure(), crystal.cell)
        event(f"no symmetry stated: {'the same crystal' if same else 'another one, said so'}")
        assert any("says nothing of its symmetry" in note for note in notes)
        return
    event("read")
    found = cell.to_structure()
    assert abs(found.volume / len(found) / (crystal.cell.volume / len(crystal.cell)) - 1) < 0.01, (
        text
    )
    assert EXACT.fit(found, crystal.cell), text


def test_the_writer_says_what_it_means(crystals: list[Structure]) -> None:
    """pymatgen reads the plainest dialect as the same crystal: the writer is right."""
    plain = Dialect("equiv", "none", False, False, 5, False, "sum", False, False, "symbols", "1",
                    "\n", False)  # fmt: skip
    checked = 0
    for i, structure in enumerate(crystals[:30]):
        crystal = in_setting(structure, i)
        if crystal is not None:
            back = Structure.from_str(write(crystal, plain, i), fmt="cif")
            assert EXACT.fit(back, crystal.cell) and len(back) == len(crystal.cell)
            checked += 1
    assert checked > 20
    assert all(isinstance(site.specie, Element) for site in crystals[0])
