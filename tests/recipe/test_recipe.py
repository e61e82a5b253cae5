from __future__ import annotations

import csv
import functools
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import CheckpointError, CrystalLDMError, DataError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.added_conditions import forget_former_weights
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.recipe import (
    embed_recipe,
    from_recipe,
    makes_crystals_of,
    read_recipe,
    recipe_hash,
)
from crystal_ldm.runs.generate import generate
from crystal_ldm.sampling import SampleResult
from crystal_ldm.sampling.recipe import make_recipe, recipe_of_row
from crystal_ldm.workflow.command_line import main
from tests.conftest import make_tiny_ldm

SAMPLING = {"num_samples": 8, "seed": 3, "sampler": "ddim", "cfg_scale": {"band_gap": 2.0}}


def a_recipe(rows: int = 1) -> dict[str, Any]:
    request = CrystalBatch.from_formulas(["SrTiO3"] * rows, band_gap=[2.0] * rows).to_request()
    return make_recipe("oqmd_icsd", "a1b2c3", request, SAMPLING, data_hash="d4")


def a_cif() -> str:
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.cif import CifWriter

    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    structure = Structure(Lattice.cubic(3.9), ["Sr", "Ti", "O", "O", "O"], sites)
    return str(CifWriter(structure, symprec=0.1))


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_json_round_trip(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(a_recipe()))
    recipe = read_recipe(tmp_path / "recipe.json")
    assert recipe == a_recipe()
    assert set(recipe["versions"]) == {"crystal_ldm", "torch", "numpy", "pymatgen"}
    assert CrystalBatch.from_request(recipe["request"]).formulas == ["SrTiO3"]


@pytest.mark.parametrize("rows", [1, 400])
@pytest.mark.parametrize("line_ends", ["\n", "\r\n"])
def test_recipe_in_a_cif_and_the_cif_still_reads(rows, line_ends, tmp_path: Path) -> None:
    import ase.io
    from pymatgen.core import Structure

    text = embed_recipe(a_cif(), a_recipe(rows), row=rows - 1, number=5)
    path = tmp_path / "crystal.cif"
    path.write_bytes(text.replace("\n", line_ends).encode())
    found = read_recipe(path)
    whole = a_recipe(rows)
    assert found.pop("recipe_hash") == recipe_hash(whole)
    assert found == {**recipe_of_row(whole, rows - 1), "row": rows - 1, "number": 5}
    assert max(map(len, text.split("\n"))) <= 2048  # the CIF standard's longest line
    if rows == 1:
        assert '"SrTiO3"' not in text and '"Sr"' in text  # a person can read it
    assert Structure.from_file(path) == Structure.from_str(a_cif(), fmt="cif")
    assert ase.io.read(path).get_chemical_formula() == "O3SrTi"


def test_recipe_with_awkward_text_survives_a_cif() -> None:
    recipe = a_recipe()
    recipe["sampling"]["note"] = "';\n;\"_cell\ndata_x\nloop_ ü ;" * 20
    recipe["model"] = ";runs/;x"
    found = read_recipe(embed_recipe(a_cif(), recipe, 0, 0).encode())
    del found["recipe_hash"]
    assert found == {**recipe, "first_row": 0, "row": 0, "number": 0}


def test_zip_gives_the_recipe_of_the_whole_run_first() -> None:
    cif = embed_recipe(a_cif(), a_recipe(), 0, 1)
    both = {"cif/a.cif": cif, "recipe.json": json.dumps(a_recipe())}
    assert "number" not in read_recipe(zipped(**both))
    assert read_recipe(zipped(**{"cif/a.cif": cif}))["number"] == 1


def test_what_holds_no_recipe_is_named(tmp_path: Path) -> None:
    cases = {
        "missing.json": (None, "cannot be read"),
        "plain.cif": (a_cif().encode(), "holds no recipe"),
        "picture.png": (b"\x89PNG\r\n\xff", "neither a recipe nor a CIF"),
        "empty.zip": (zipped(readme="x"), "neither a recipe.json nor a CIF"),
        "list.json": (b"[1, 2]", "holds no recipe"),
        "nan.json": (b'{"format": NaN}', "NaN is not allowed"),
        "deep.json": (b'{"a":' * 100_000, "damaged or cut short"),
    }
    for name, (content, told) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=told) as caught:
            read_recipe(path)
        assert name in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        read_recipe(tmp_path)


def test_layout_is_checked() -> None:
    good = a_recipe()
    wrong = {
        "no key 'modle'.* Did you mean 'model'": {**good, "modle": "x"},
        "request must be a mapping or None, not": {**good, "request": []},
        "key 'sampling' is missing": {k: v for k, v in good.items() if k != "sampling"},
        "format must be one of 1, 2, not 3": {**good, "format": 3},
        "both 'row' and 'number'": {**good, "row": 1},
        "number must be a whole number of at least 0": {**good, "row": 1, "number": -1},
    }
    for told, recipe in wrong.items():
        with pytest.raises(DataError, match=told):
            read_recipe(json.dumps(recipe).encode())


def tiny_result(ldm: LDMModule) -> tuple[SampleResult, str]:
    """Six crystals of three kinds of request, and the CIF of row 2, number 4."""
    request = CrystalBatch.from_formulas(["NaCl", "SrTiO3", "Na?"], band_gap=[1.0, (2, 3), None])
    options = {"sampling_steps": 2, "seed": 5, "offset": 3, "cfg_scale": {"composition": 1.5}}
    result = ldm.sample(request, num_samples=2, **options)
    return result, embed_recipe(a_cif(), result.recipe, 2, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"atoms": ...},  # left out
        {"atoms": 3},
        {"element_rules": ...},
        {"conditions": ["band_gap"]},
        {"conditions": {"band_gap": []}},
        {"conditions": {"band_gap": 2.0}},
        {"crystals": {"lattices": 3}},
    ],
)
def test_a_request_that_was_changed_by_hand_is_one_sentence(change: dict[str, Any]) -> None:
    whole = CrystalBatch.from_formulas(["NaCl"], band_gap=[2.0]).to_request()
    request = {name: value for name, value in (whole | change).items() if value is not ...}
    with pytest.raises(DataError, match="The request of the recipe was changed"):
        recipe_of_row(make_recipe("m", "h", request, {}), 0)


def test_from_recipe_makes_the_same_crystals(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    result, cif = tiny_result(tiny_ldm)
    (tmp_path / "recipe.json").write_text(json.dumps(result.recipe))
    again = from_recipe(tmp_path / "recipe.json", ldm=tiny_ldm)
    assert again.row.tolist() == result.row.tolist()
    assert again.number.tolist() == result.number.tolist()
    assert torch.equal(again.crystals.atomic_numbers, result.crystals.atomic_numbers)
    assert torch.allclose(again.crystals.lattices, result.crystals.lattices)
    assert torch.allclose(again.crystals.frac_coords, result.crystals.frac_coords)

    one = from_recipe(cif.encode(), ldm=tiny_ldm)
    assert (one.row.tolist(), one.number.tolist()) == ([2], [4])
    assert torch.equal(one.crystals.atomic_numbers[0], result.crystals.atomic_numbers[-1, :2])
    assert torch.allclose(one.crystals.lattices[0], result.crystals.lattices[-1], rtol=1e-4)


def test_from_recipe_refuses_what_gives_other_crystals(tiny_ldm: LDMModule) -> None:
    result, _ = tiny_result(tiny_ldm)
    sampling = result.recipe["sampling"]
    wrong = {
        "would give other crystals": {"model_hash": "0" * 16},
        "no field 'sed'. Did you mean 'seed'": {"sampling": {**sampling, "sed": 1}},
        "no field 'wanted'": {"sampling": {**sampling, "wanted": 1}},
        "num_samples must be a whole number": {"sampling": {"num_samples": "all"}},
        "not 1000000000000": {"sampling": {"num_samples": 10**12}},
        "no crystal in row 3": {"row": 3, "number": 3},
        "no crystal in row 0, number 9": {"row": 0, "number": 9},
        "not a request": {"request": {"atoms": [["Na"]]}},
    }
    for told, change in wrong.items():
        content = json.dumps({**result.recipe, **change}).encode()
        with pytest.raises(CrystalLDMError, match=re.escape(told)):
            from_recipe(content, ldm=tiny_ldm)
    missing = {**result.recipe, "model": "oqmd_icds"}
    with pytest.raises(CheckpointError, match=r"no checkpoint .*oqmd_icds"):
        from_recipe(json.dumps(missing).encode())


def test_a_calibration_leaves_recipes_below_it_as_they_were(known_batch: CrystalBatch) -> None:
    """Recipes of the model before are made, but for those that the calibration changes."""
    ldm = make_tiny_ldm(known_batch)
    recipes = {
        target: ldm.sample(
            CrystalBatch.from_num_atoms([3, 3], band_gap=[target, None]), sampling_steps=1
        ).recipe
        for target in (None, 1.0, (0.7, 0.9), 1.5, (0.7, 1.5))
    }
    ldm.sampler_network.properties["band_gap"].take_calibration([[1.0, 1.0], [2.0, 4.0]])
    ldm._hash = None
    assert not any(makes_crystals_of(ldm, recipe) for recipe in recipes.values())
    info = {"hashes_before_calibration": [recipes[None]["model_hash"]]}
    ldm.data_info = {**ldm.data_info, **info}
    made = {target for target, recipe in recipes.items() if makes_crystals_of(ldm, recipe)}
    assert made == {None, 1.0, (0.7, 0.9)}
    assert makes_crystals_of(ldm, {**recipes[1.5], "request": None})
    with pytest.raises(CheckpointError, match="would give other crystals"):
        from_recipe(json.dumps(recipes[1.5]).encode(), ldm=ldm)
    assert len(from_recipe(json.dumps(recipes[1.0]).encode(), ldm=ldm)) == 2
    forget_former_weights(ldm)  # as a training of all of them does
    assert not any(makes_crystals_of(ldm, recipe) for recipe in recipes.values())
    assert ldm.sampler_network.properties["band_gap"].calibration is None


def test_other_versions_are_said_aloud(tiny_ldm: LDMModule) -> None:
    recipe = tiny_ldm.sample(num_samples=1, sampling_steps=1).recipe
    recipe["versions"]["torch"] = "1.0"
    with pytest.warns(UserWarning, match=r"made with torch 1\.0 \(here"):
        from_recipe(json.dumps(recipe).encode(), ldm=tiny_ldm)


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    zeros = "0" * (40 * 2**20)
    with pytest.raises(DataError, match="larger than 16 MiB"):
        read_recipe(zipped(**{"recipe.json": zeros}))
    import base64
    import zlib

    packed = base64.b64encode(zlib.compress(zeros.encode(), 9)).decode()
    cif = f"data_x\n_crystal_ldm_recipe\n;zlib-base64\n{packed}\n;\n"
    with pytest.raises(DataError, match="cut short or too large"):
        read_recipe(cif.encode())


@functools.cache
def originals() -> list[bytes]:
    short, long = (embed_recipe(a_cif(), a_recipe(rows), 0, 2) for rows in (1, 300))
    archive = zipped(**{"recipe.json": json.dumps(a_recipe()), "a.cif": short})
    return [short.encode(), long.encode(), json.dumps(a_recipe()).encode(), archive]


@given(st.data())
def test_damaged_files_raise_documented_errors_only(data: st.DataObject) -> None:
    original = data.draw(st.sampled_from(originals()))
    content = bytearray(original)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    try:
        recipe = read_recipe(bytes(content[:cut]))
    except CrystalLDMError:
        return
    assert recipe["format"] in (1, 2) and isinstance(recipe["sampling"], dict)


def mixed_request() -> CrystalBatch:
    return CrystalBatch.from_formulas(
        ["SrTiO3", "NaCl", "Na?", "Na2?"],
        forbidden=["Sr"],
        band_gap=[(1.0, 3.0), None, 2.0, (0.7, 1.0)],
    )


def test_a_cif_with_its_own_row_alone_makes_exactly_its_crystal(tiny_ldm: LDMModule) -> None:
    """Random numbers depend on the row's number, and on whether other rows have ranges."""
    whole = tiny_ldm.sample(mixed_request(), 3, sampling_steps=2, seed=5)
    for i in (0, 4, 7, 11):
        row, number = int(whole.row[i]), int(whole.number[i])
        cif = embed_recipe(a_cif(), whole.recipe, row, number)
        embedded = read_recipe(cif.encode())
        assert len(embedded["request"]["atoms"]) == 1 and embedded["first_row"] == row
        # As they were written before: the whole request in each CIF.
        before = json.dumps({**whole.recipe, "row": row, "number": number}).encode()
        for text in (cif.encode(), before):
            again = from_recipe(text, tiny_ldm)
            assert (int(again.row[0]), int(again.number[0])) == (row, number)
            n = int(again.crystals.num_atoms[0])
            numbers = whole.crystals.atomic_numbers[i, :n].tolist()
            assert again.crystals.atomic_numbers[0].tolist() == numbers
            assert torch.allclose(
                again.crystals.frac_coords[0], whole.crystals.frac_coords[i, :n], atol=1e-4
            )
            assert torch.allclose(again.crystals.lattices[0], whole.crystals.lattices[i], atol=1e-4)
        # What came of it can be embedded again.
        twice = embed_recipe(a_cif(), again.recipe, row, number)
        assert int(from_recipe(twice.encode(), tiny_ldm).row[0]) == row


def test_a_cif_does_not_grow_with_the_request() -> None:
    few, many = (len(embed_recipe(a_cif(), a_recipe(rows), rows - 1, 0)) for rows in (2, 2000))
    assert many - few < 20


def test_a_run_and_one_of_its_crystals_are_generated_again_from_a_shell(
    tmp_path: Path,
) -> None:
    request = CrystalBatch.from_formulas(["NaCl", "KBr"])
    run = generate(load_pretrained(), request, tmp_path / "run", 2, seed=5, progress=False)
    for name, file in (("all", run.path / "recipe.json"), ("one", run.path / run.rows[-1]["cif"])):
        done = CliRunner().invoke(main, ["again", str(file), "--run-dir", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
    lines = {line["id"]: line for line in run.rows}
    for name, count in (("all", 4), ("one", 1)):
        again = list(csv.DictReader((tmp_path / name / "table.csv").open(encoding="utf-8")))
        assert len(again) == count
        for line in again:
            same = [key for key in line if key != "recipe"]
            assert [line[key] for key in same] == [lines[line["id"]][key] for key in same]
