from __future__ import annotations

import gzip
import json
import math
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.db import connect
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import DummySpecies, Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystal_ldm.crystals.readers import read_payload
from crystal_ldm.data import find_source, load_dataset
from crystal_ldm.errors import DataError


def load(source, **keywords):
    return load_dataset(source, progress=False, **keywords)


def same(dataset, structures: list[Structure]) -> bool:
    matcher = StructureMatcher()
    return len(dataset) == len(structures) and all(
        matcher.fit(dataset.structure(i), s) for i, s in enumerate(structures)
    )


@pytest.fixture
def few(structures: list[Structure]) -> list[Structure]:
    return structures[:8]


def test_a_cut_cif_is_rejected_or_whole(rows):
    """Cut anywhere, a CIF never becomes another crystal."""
    rejected = 0
    for row in rows[:6]:
        text = row["cif"]
        whole, _ = read_payload(text)
        for cut in range(1, len(text), max(1, len(text) // 25)):
            try:
                cell, _ = read_payload(text[:cut])
            except DataError as error:
                assert "CIF" in str(error)
                rejected += 1
                continue
            assert np.array_equal(cell.numbers, whole.numbers)
            assert np.allclose(cell.frac_coords, whole.frac_coords, atol=1e-6)
            assert np.allclose(cell.lattice, whole.lattice)
    assert rejected > 120


def test_one_bad_file_never_stops_the_rest(tmp_path: Path, few, rows):
    folder = tmp_path / "mine"
    folder.mkdir()
    for i, structure in enumerate(few[:3]):
        structure.to(str(folder / f"good{i}.cif"), fmt="cif")
    few[3].to(str(folder / "POSCAR_good"), fmt="poscar")
    (folder / "LaF3").mkdir()
    few[4].to(str(folder / "LaF3" / "POSCAR"), fmt="poscar")
    (folder / "packed.cif.gz").write_bytes(gzip.compress(rows[5]["cif"].encode()))
    cubic = Lattice.cubic(4.0)
    half = Structure(cubic, [{"Fe": 0.5, "Co": 0.5}, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    half.to(str(folder / "disordered.cif"), fmt="cif")
    dummy = Structure(cubic, [DummySpecies("X"), "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    dummy.to(str(folder / "dummy.cif"), fmt="cif")
    (folder / "cut.cif").write_text(rows[0]["cif"][:-60])
    (folder / "cut.cif.gz").write_bytes(gzip.compress(rows[0]["cif"].encode(), mtime=0)[:-20])
    (folder / "empty.cif").write_text("")
    (folder / "binary.cif").write_bytes(bytes(range(256)) * 4)
    (folder / "POSCAR_old").write_text(
        "old\n1.0\n3 0 0\n0 3 0\n0 0 3\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
    )
    big = few[0] * (2, 2, 2)
    big.perturb(0.1)
    big.to(str(folder / "big.cif"), fmt="cif")

    dataset = load(folder)
    assert sorted(dataset.ids) == ["LaF3", "POSCAR_good", "good0", "good1", "good2", "packed"]
    reasons = {r.where: r.reason for r in dataset.report.rejected}
    assert set(reasons) == {
        "POSCAR_old", "big.cif", "binary.cif", "cut.cif", "cut.cif.gz", "disordered.cif",
        "dummy.cif", "empty.cif",
    }  # fmt: skip
    assert "disordered" in reasons["disordered.cif"]
    assert "not a chemical element" in reasons["dummy.cif"] or "CIF" in reasons["dummy.cif"]
    assert "cut short" in reasons["cut.cif"]
    assert "empty" in reasons["empty.cif"]
    assert "name its elements" in reasons["POSCAR_old"]
    assert "at most 20" in reasons["big.cif"]
    dataset.report.write_csv(tmp_path / "rejected.csv")
    assert len((tmp_path / "rejected.csv").read_text().splitlines()) == 9


def test_a_folder_with_a_property_table(tmp_path: Path, few):
    folder = tmp_path / "mine"
    folder.mkdir()
    for i, structure in enumerate(few):
        structure.to(str(folder / f"c{i}.cif"), fmt="cif")
    lines = ["file,Band gap (eV),hardness,family"]
    lines += [f"c{i}.cif,{i}.5,{10 * i},{'oxide' if i % 2 else ''}" for i in range(6)]
    lines += ["missing.cif,1,1,oxide"]
    (folder / "properties.csv").write_text("\n".join(lines))
    dataset = load(folder)
    assert set(dataset.label_names) == {"band_gap", "hardness", "family"}
    gaps = dict(zip(dataset.ids, dataset.labels["band_gap"].tolist(), strict=True))
    assert gaps["c3"] == 3.5 and math.isnan(gaps["c7"])
    families = dict(zip(dataset.ids, dataset.labels["family"], strict=True))
    assert families["c1"] == "oxide" and families["c0"] is None and families["c7"] is None
    notes = " ".join(dataset.report.notes)
    assert "read as band_gap (eV)" in notes
    assert "2 files have no row" in notes and "1 rows of properties.csv have no file" in notes

    chosen = load(folder, labels={"hardness": "vickers"})
    assert chosen.label_names == ["vickers"]
    with pytest.raises(DataError, match="Did you mean 'hardness'"):
        load(folder, labels=["hardnes"])


def test_a_headerless_id_prop_table(tmp_path: Path, few):
    folder = tmp_path / "cgcnn"
    folder.mkdir()
    for i, structure in enumerate(few[:3]):
        structure.to(str(folder / f"{i}.cif"), fmt="cif")
    (folder / "id_prop.csv").write_text("0,1.25\n1,2.5\n2,-3\n")
    dataset = load(folder)
    assert dict(zip(dataset.ids, dataset.labels["target"].tolist(), strict=True)) == {
        "0": 1.25, "1": 2.5, "2": -3.0,
    }  # fmt: skip


def test_a_list_of_structures_with_properties(few):
    copies = [s.copy() for s in few]
    for i, structure in enumerate(copies[:5]):
        structure.properties = {"band_gap": 0.5 * i, "note": "mine"}
    dataset = load(copies)
    assert same(dataset, few)
    assert np.isnan(dataset.labels["band_gap"][5:]).all()
    assert dataset.labels["band_gap"][4] == 2.0
    (rejected,) = load([few[0], "SrTiO3"]).report.rejected
    assert "no file or folder 'SrTiO3'" in rejected.reason
    with pytest.raises(DataError, match="empty"):
        load([])


def test_extxyz_and_ase_database(tmp_path: Path, few):
    atoms = [AseAtomsAdaptor.get_atoms(s, msonable=False) for s in few]
    for i, a in enumerate(atoms):
        a.info = {"band_gap": float(i), "family": "x"}
    molecule = atoms[0].copy()
    molecule.pbc = False
    ase.io.write(tmp_path / "all.extxyz", [*atoms, molecule])
    with connect(tmp_path / "all.db", append=False) as database:
        for i, a in enumerate(atoms):
            database.write(a, band_gap=float(i), family="x")
    for name in ("all.extxyz", "all.db"):
        dataset = load(tmp_path / name)
        assert same(dataset, few)
        assert dataset.labels["band_gap"].tolist() == list(range(8))
        assert dataset.labels["family"] == ["x"] * 8
        kinds = dataset.report.counts()
        assert kinds == ({"not periodic": 1} if name.endswith("xyz") else {})


def test_what_comes_before_the_break_in_an_extxyz_file_is_used(tmp_path: Path, few):
    path = tmp_path / "cut.extxyz"
    ase.io.write(path, [AseAtomsAdaptor.get_atoms(s, msonable=False) for s in few])
    path.write_text(path.read_text()[:-25])
    dataset = load(path)
    assert same(dataset, few[:7])
    assert "cannot be read" in dataset.report.rejected[0].reason


def test_json_layouts(tmp_path: Path, few):
    dicts = [s.as_dict() for s in few]
    records = [{"id": f"r{i}", "structure": d, "band_gap": i / 2} for i, d in enumerate(dicts)]
    matbench = {
        "index": list(range(8)),
        "columns": ["structure", "gap pbe"],
        "data": [[d, i / 2] for i, d in enumerate(dicts)],
    }
    layouts = {"list": dicts, "dict": {f"m{i}": d for i, d in enumerate(dicts)}}
    layouts |= {"records": records, "matbench": matbench}
    for name, data in layouts.items():
        path = tmp_path / f"{name}.json.gz"
        path.write_bytes(gzip.compress(json.dumps(data).encode()))
        dataset = load(path)
        assert same(dataset, few), name
        if name in ("records", "matbench"):
            assert dataset.labels["band_gap"].tolist() == [i / 2 for i in range(8)]
    assert load(tmp_path / "records.json.gz").ids[2] == "r2"


def test_json_never_calls_what_it_names(tmp_path: Path, few):
    target = tmp_path / "executed"
    bad = few[0].as_dict()
    call = {"@module": "subprocess", "@class": "Popen", "args": ["touch", str(target)]}
    for site in bad["sites"]:
        site["properties"] = {"x": call}
    bad["properties"] = {"y": call}
    (tmp_path / "bad.json").write_text(json.dumps([bad, few[1].as_dict(), call, 3, None]))
    dataset = load(tmp_path / "bad.json")
    assert same(dataset, few[:2]) and not target.exists()
    assert len(dataset.report.rejected) == 3


def test_csv_with_odd_values(tmp_path: Path, rows, write):
    odd = [dict(row) for row in rows[:12]]
    odd[0]["band_gap"], odd[1]["band_gap"], odd[2]["band_gap"] = "", "abc", "-0.3"
    odd[3]["cif"], odd[4]["material_id"] = "no cif at all", odd[5]["material_id"]
    odd[6]["cif"] = odd[6]["cif"].replace("0.0000", "nan").replace("0.5000", "nan")
    for i, row in enumerate(odd):
        row["name_of_phase"], row["pretty_formula"] = ("NaN", "InF")[i % 2], "InF"
    dataset = load(write(tmp_path / "odd.csv.gz", odd))
    name = odd[5]["material_id"]
    assert {name, f"{name}-2"} <= set(dataset.ids)
    gaps = dict(zip(dataset.ids, dataset.labels["band_gap"].tolist(), strict=True))
    for i in range(3):
        assert math.isnan(gaps[odd[i]["material_id"]])
    assert "pretty_formula" not in dataset.labels
    notes = " ".join(dataset.report.notes)
    assert "'abc' in row 2" in notes and "negative band gaps" in notes and "suffix" in notes
    assert odd[3]["material_id"] in {r.id for r in dataset.report.rejected}


def test_a_tables_rows_and_columns_are_counted_as_a_person_counts_them(tmp_path: Path, rows):
    """An empty row moves no name below it, and of columns of one name none is lost."""
    first, second = (f'"{row["cif"]}"' for row in rows[:2])
    table = tmp_path / "few.csv"
    table.write_text(f"cif,x,x.1,x\n{first},1,2,3\n,,,\n{second},4,5,6\n,,,\n")
    dataset = load(table)
    assert dataset.ids == ["few-1", "few-3"] and dataset.report.found == 2
    assert [dataset.labels[name].tolist() for name in ("x", "x.1", "x.2")] == [
        [1, 4],
        [2, 5],
        [3, 6],
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"material_id,cif\n", "no rows"),
        ("a.csv", b"material_id,ciff\nx,y\n", "Did you mean 'ciff'"),
        ("a.csv", b'material_id,cif\nx,"data_cut', "cut short"),
        ("a.csv.gz", gzip.compress(b"material_id,cif\nx,y\n" * 500, mtime=0)[:-30], "cut short"),
        ("a.csv.gz", b"not gzip", "cannot be read"),
        ("a.csv", b"material_id,cif\nx,y\n", "None of the 1 entries"),
        ("a.json.gz", gzip.compress(b"[1, 2]", mtime=0)[:-9], "cut short"),
        ("a.json", b"[]", "no structures"),
        ("a.json", b"3", "neither a list"),
        ("a.json", b'{"columns": ["a"], "data": [[1, 2], 3]}', "not a list"),
        ("a.db", b"not a database", "cannot be read"),
        ("a.extxyz", b"two\natoms", "cannot be read"),
        ("a.cif", b"data_x", "None of the 1 entries"),
        ("a.docx", b"", "no known kind"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_sentence(
    tmp_path: Path, name: str, content: bytes, message: str
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / name)


def test_mp_20_pools_its_files_and_splits_by_formula(tmp_path: Path, rows, write):
    write(tmp_path / "mp_20" / "train.csv", rows[:12])
    more = [{**row, "e_above_hull": "0.25"} for row in rows[10:20]]
    write(tmp_path / "mp_20" / "val.csv.gz", more)
    dataset = load("mp_20", data_dir=tmp_path)
    assert sorted(dataset.ids) == sorted(row["material_id"] for row in rows[:20])
    assert dataset.report.counts() == {"same id in two files": 2}
    assert set(dataset.label_names) == {"band_gap", "formation_energy_per_atom", "e_above_hull"}
    assert np.isfinite(dataset.labels["e_above_hull"]).sum() == 8
    assert "formula" in dataset.info["split"]


@pytest.mark.parametrize("with_test", [False, True])
def test_perov_5_keeps_its_official_files(tmp_path: Path, rows, write, with_test: bool):
    parts = {"train": rows[:20], "val": rows[20:28]}
    if with_test:
        parts["test"] = rows[28:34]
    for part, chosen in parts.items():
        write(tmp_path / f"{part}.csv", chosen)
    shutil.copy(tmp_path / "train.csv", tmp_path / "other.csv")
    dataset = load("perov_5", data_dir=tmp_path)

    def ids(part: str) -> set[str]:
        return {dataset.ids[i] for i in dataset.indices(part)}

    expected = {part: {r["material_id"] for r in chosen} for part, chosen in parts.items()}
    if with_test:
        assert {part: ids(part) for part in parts} == expected
    else:
        assert ids("test") == expected["val"]
        assert ids("train") | ids("val") == expected["train"] and ids("val")


def test_names_and_folders_that_do_not_exist(tmp_path: Path, rows, write):
    with pytest.raises(DataError, match=r"Did you mean 'mp_20'.*oqmd_icsd, mp_20, perov_5"):
        load("mp20")
    with pytest.raises(DataError, match="give data_dir"):
        load("mp_20")
    with pytest.raises(DataError, match="no file or folder"):
        load("mp_20", data_dir=tmp_path / "nowhere")
    write(tmp_path / "data.csv", rows[:3])
    with pytest.raises(DataError, match="train, val or test"):
        load("perov_5", data_dir=tmp_path)
    with pytest.raises(DataError, match="list of structures, not 3"):
        load(3)
    with pytest.raises(DataError, match="max_atoms"):
        load(tmp_path / "data.csv", max_atoms=0)


def test_a_notebook_finds_data_in_the_clone_and_in_the_folder_of_the_call(
    tmp_path: Path, monkeypatch
):
    (tmp_path / "mine_here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_source("oqmd_icsd") == ("oqmd_icsd", None)
    assert find_source("mine_here") == (str(tmp_path / "mine_here"), None)
    assert find_source("mine_here", str(tmp_path)) == ("mine_here", tmp_path)
    inside = Path(__file__).resolve().parents[2] / "notebooks"
    assert find_source("notebooks") == (str(inside), None)  # a relative path is the clone's first
    assert find_source("perov_5", "mine_here") == ("perov_5", tmp_path / "mine_here")
    for source, folder, reason in [
        (
            "oqmd_icds",
            "",
            "no data set and no file or folder 'oqmd_icds'.*Did you mean 'oqmd_icsd'",
        ),
        ("perov_5", "", "give data_dir"),
        ("perov_5", "nowhere", "no file or folder '.*nowhere'"),
    ]:
        with pytest.raises(DataError, match=reason):
            find_source(source, folder)
