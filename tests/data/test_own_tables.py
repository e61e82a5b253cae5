"""Users' own data: no crystal gets the label of another, and none is left out in silence."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.readers.sources import read_upload
from crystal_ldm.data import CrystalDataset, load_dataset
from crystal_ldm.errors import DataError

CIF = """data_x
_cell_length_a {0}
_cell_length_b {0}
_cell_length_c {0}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Cs1 Cs 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""


def load(folder: Path, files: str, table: str) -> CrystalDataset:
    for i, name in enumerate(files.split()):
        path = folder / f"{name}.cif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CIF.format(4.12 + i / 50))
    (folder / "table.csv").write_text(table)
    return load_dataset(folder, progress=False, workers=1)


def labels(dataset: CrystalDataset, name: str = "k") -> dict[str, object]:
    """Return the values that there are, by id."""
    values = dataset.labels.get(name, [None] * len(dataset))
    pairs = zip(dataset.ids, values, strict=True)
    return {i: v for i, v in pairs if v is not None and v == v}


def test_a_name_is_cut_at_its_suffix_alone(tmp_path: Path):
    dataset = load(tmp_path, "x0 x0.25 x0.5", "id,k\nx0,10\nx0.5,30\n")
    assert labels(dataset) == {"x0": 10, "x0.5": 30}
    assert "1 files have no row in table.csv." in dataset.report.notes


@pytest.mark.parametrize(
    ("files", "table", "right", "note"),
    [
        ("p/a q/a", "id,k\na,10\n", {}, "1 rows of table.csv fit several files each (a)"),
        ("p/a q/a", "id,k\na.cif,10\n", {}, "fit several files each (a.cif)"),
        ("p/a q/a", "id,k\np/a,10\nq/a.cif,20\n", {"p/a": 10, "q/a": 20}, ""),
        ("a q/a", "id,k\na,10\n", {"a": 10}, "1 files have no row"),
        ("p/a q/b", "id,k\na,10\nb,20\n", {"p/a": 10, "q/b": 20}, ""),
    ],
)
def test_a_row_labels_one_file(tmp_path: Path, files: str, table: str, right: dict, note: str):
    dataset = load(tmp_path, files, table)
    assert labels(dataset) == right
    notes = " ".join(dataset.report.notes)
    assert note in notes and "have no file" not in notes and "None of the files" not in notes


@pytest.mark.parametrize(
    ("table", "label", "right"),
    [
        ("x0.25.cif,red\nx0.5.cif,blue\n", "target", {"x0.25": "red", "x0.5": "blue"}),
        ("x0.25.cif,\nx0.5.cif,3\n", "target", {"x0.5": 3}),
        ("file,k\nx0.25.cif,1\nx0.5.CIF,3\n", "k", {"x0.25": 1, "x0.5": 3}),
        ("k,file\n1,C:\\x0.25.cif\n3,x0.5\n", "k", {"x0.25": 1, "x0.5": 3}),
    ],
)
def test_names_of_files_with_dots_are_found_in_a_table(
    tmp_path: Path, table: str, label: str, right: dict
):
    assert labels(load(tmp_path, "x0.25 x0.5", table), label) == right
    assert load_dataset(tmp_path / "x0.25.cif", progress=False, workers=1).ids == ["x0.25"]


def test_rows_of_tables_whose_names_have_dots_are_told_apart(tmp_path: Path):
    for name, size in (("x0.25", 4.1), ("x0.5", 4.2)):
        (tmp_path / f"{name}.csv").write_text(f'cif,k\n"{CIF.format(size)}",1\n')
    assert load_dataset(tmp_path, progress=False, workers=1).ids == ["x0.25-1", "x0.5-1"]


@pytest.mark.parametrize(
    ("values", "right", "said"),
    [
        (("1,5", "12,25"), [1.5, 12.25], "have decimal commas"),
        (("1,500", "0,25"), [1.5, 0.25], "have decimal commas"),
        (("-2", "1,5"), [-2, 1.5], "have decimal commas"),
        (("1,500", "2,250"), ["1,500", "2,250"], "may be decimal or stand between thousands"),
        (("750", "1,500"), ["750", "1,500"], "may be decimal or stand between thousands"),
        (("1.5", "2,5"), ["1.5", "2,5"], "is read as text"),
        (("1,500.5", "2,250"), [1500.5, 2250], "signs between thousands"),
    ],
)
def test_decimal_commas_between_quotes(tmp_path: Path, values: tuple, right: list, said: str):
    dataset = load(tmp_path, "a b", 'id,k\na,"{}"\nb,"{}"\n'.format(*values))
    assert list(labels(dataset).values()) == right
    assert sum(said in note for note in dataset.report.notes) == 1
    assert sum("'k'" in note for note in dataset.report.notes) == 1


def test_numbers_may_be_names_of_columns(tmp_path: Path):
    dataset = load(tmp_path, "a b", "id,300,400\na,10,11\nb,12,13\n")
    assert labels(dataset, "300") == {"a": 10, "b": 12}
    assert labels(dataset, "400") == {"a": 11, "b": 13}
    assert "no header" not in " ".join(dataset.report.notes)


def test_a_table_without_a_header_is_said_to_be_so(tmp_path: Path):
    dataset = load(tmp_path, "a b", "a,10,11\nb,12,13\n")
    assert labels(dataset, "target") == {"a": 10, "b": 12}
    note = "table.csv has no header; its columns are called id, target, target_2."
    assert note in dataset.report.notes


@pytest.mark.parametrize(
    ("files", "table", "right", "note"),
    [
        ("a b", "id,file,k\n1,a.cif,11\n2,b.cif,13\n", {"a": 11, "b": 13}, "'file'"),
        ("1 2", "id,file,k\n1,2.cif,11\n2,1.cif,13\n", {"1": 13, "2": 11}, "'file'"),
        ("1 2", "id,file,k\n1,1.cif,11\n2,2.cif,13\n", {"1": 11, "2": 13}, ""),
        ("a 2", "id,file,k\na,old/1.cif,11\n2,old/3.cif,13\n", {"a": 11, "2": 13}, ""),
        ("a 2", "id,name,k\n1,2,11\n2,a,13\n", {"2": 11, "a": 13}, "'name'"),
        ("1 2", "id,sites,k\nx,1,11\ny,2,13\n", {}, ""),
        ("a b", "id,crystal,k\n1,a,11\n2,b,13\n", {"a": 11, "b": 13}, "'crystal'"),
    ],
)
def test_the_column_of_the_files_names_wins_over_a_running_number(
    tmp_path: Path, files: str, table: str, right: dict, note: str
):
    dataset = load(tmp_path, files, table)
    assert labels(dataset) == right
    sentence = f"Column {note} of table.csv names the files, not 'id'."
    assert (sentence in dataset.report.notes) == bool(note)


def test_a_cif_of_several_crystals_is_refused_where_one_is_wanted(tmp_path: Path):
    path = tmp_path / "two.cif"
    path.write_text(CIF.format(4.12) + CIF.format(4.2).replace("data_x", "data_y"))
    for read in (
        lambda: CrystalBatch.from_structures([path]),
        lambda: load_dataset([path], progress=False, workers=1),
    ):
        with pytest.raises(DataError, match="holds several crystals; give a file that holds one"):
            read()
    cell, (note,) = read_upload(path.name, path.read_bytes())
    assert len(cell) == 2 and note.startswith("The first crystal of a CIF is read")
    notes = load_dataset(path, progress=False, workers=1).report.notes
    assert any(note.startswith("The first crystal of a CIF is read") for note in notes)


def test_atoms_of_a_list_are_as_their_file_has_them(tmp_path: Path):
    atoms = Atoms("CsCl", cell=[4.12] * 3, pbc=True, positions=[[0] * 3, [2.06] * 3])
    atoms.info = {"id": "mine", "k": 2.5}
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0)
    write(tmp_path / "a.extxyz", atoms)
    for source in (tmp_path / "a.extxyz", [atoms]):
        dataset = load_dataset(source, progress=False, workers=1)
        assert set(dataset.label_names) == {"energy", "k"}
        assert labels(dataset, "energy") == {"mine": -3.0}
        assert any("eV for the cell" in note for note in dataset.report.notes)
    atoms.positions[1] += 0.1
    dataset = load_dataset([atoms], progress=False, workers=1)
    assert dataset.label_names == ["k"] and "is not read" in " ".join(dataset.report.notes)


def test_a_broken_line_of_json_lines_is_one_record(tmp_path: Path):
    salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0] * 3, [0.5] * 3]).as_dict()
    good = json.dumps({"id": "x", "structure": salt, "k": 2.5})
    path = tmp_path / "a.jsonl"
    path.write_text(f"{good}\n\n{good[:200]}\n{good}\n")
    dataset = load_dataset(path, progress=False, workers=1)
    assert len(dataset) == 2 and dataset.labels["k"].tolist() == [2.5, 2.5]
    assert [r.id for r in dataset.report.rejected] == ["a-2"]
    assert "Line 3 is cut short or not json" in dataset.report.rejected[0].reason
    path.write_text(f"{good[:200]}\n{good[:100]}\n")
    with pytest.raises(DataError, match=r"a\.jsonl is cut short or not json"):
        load_dataset(path, progress=False, workers=1)


@pytest.mark.parametrize("suffix", ["extxyz", "xyz", "db"])
def test_a_packed_file_of_ase_is_to_be_unpacked(tmp_path: Path, suffix: str):
    path = tmp_path / f"e.{suffix}.gz"
    path.write_bytes(gzip.compress(b"2\n\nNa 0 0 0\nCl 1 1 1\n"))
    with pytest.raises(DataError, match="is packed; unpack it"):
        load_dataset(path, progress=False, workers=1)
