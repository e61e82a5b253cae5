"""Files out and in: the zip, recipes, uploads, the buttons behind them."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import ase.io
import pytest
from crystal_ldm.widgets import (
    FilesPanel,
    Workbench,
)
from crystal_ldm.widgets.base import Notice
from crystal_ldm.widgets.browser.buttons import DropZone, SaveButton
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.export.archive import FORMATS, zip_crystals
from crystal_ldm.widgets.workbench import TABS
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.readers.sources import read_upload
from crystal_ldm.recipe import from_recipe, read_recipe
from crystal_ldm.runs.generate import make_request
from tests.widgets.crystals import perovskite, rock_salt

QUICK = {"sampling_steps": 2}


def test_the_zip_holds_everything_and_its_recipe_makes_it_again(
    bench: Workbench, tiny_ldm: Any
) -> None:
    bench.generate.form.formula.text = "NaCl"
    bench.generate.generate()
    assert bench.generate.job.wait(60)
    bench.gallery.add([CrystalEntry(rock_salt(), "varied")])
    bench.gallery.update_crystals([(bench.gallery.structures[0], {"band_gap": 1.25})])
    archive = zipfile.ZipFile(io.BytesIO(zip_crystals(bench.gallery.entries, bench.gallery.rows)))
    names = archive.namelist()
    assert sum(name.endswith(".cif") for name in names) == 7
    assert {"table.csv", "crystals.extxyz", "recipe.json", "recipe-2.json"} <= set(names)
    table = list(csv.DictReader(io.StringIO(archive.read("table.csv").decode())))
    assert [line["cif"] for line in table] == [n for n in names if n.endswith(".cif")]
    assert table[0]["band_gap"] == "1.25" and table[-1]["origin"] == "varied"
    frames = ase.io.read(io.StringIO(archive.read("crystals.extxyz").decode()), ":", "extxyz")
    assert [frame.info["id"] for frame in frames] == [line["id"] for line in table]
    for line, made in zip(table, bench.gallery.entries, strict=True):
        poscar = Structure.from_str(archive.read(f"poscar/{line['id']}.vasp").decode(), "poscar")
        assert poscar.composition == made.structure.composition
    again = from_recipe(archive.read(table[1]["cif"]), tiny_ldm).to_structures()[0]
    assert again.lattice.abc == pytest.approx(
        bench.gallery.entries[1].structure.lattice.abc, abs=1e-4
    )
    with pytest.raises(ValueError, match="no crystal to download"):
        zip_crystals([])


def test_a_dropped_cif_refills_the_form_with_its_seed(bench: Workbench) -> None:
    bench.tabs.selected_index = TABS.index("Export")
    data = zip_crystals(bench.gallery.entries)
    archive = zipfile.ZipFile(io.BytesIO(data))
    cif = next(archive.read(name) for name in archive.namelist() if name.endswith(".cif"))
    form = bench.generate.form
    form.formula.text, form.conditions.values = "NaCl", {}
    bench.files.zone.on_message(None, {"name": "a.cif"}, [memoryview(cif)])
    assert form.formula.text == "SrTiO3" and form.conditions.values == {"band_gap": 2.3}
    assert (form.seed.seed, form.seed.fresh, form.num_samples) == (0, False, 3)
    assert bench.files.notice.level == "good" and bench.generate.notice.text == ""
    other = {**read_recipe(cif), "model_hash": "0" * 64}
    bench.files.load("other.json", json.dumps(other).encode())
    assert "Another model made it" in bench.generate.notice.text
    bench.files.zone.on_message(None, {"name": "b.cif"}, [b"data_x\n"])
    assert bench.files.notice.level == "error" and "holds no recipe" in bench.files.notice.text
    bench.files.zone.on_message(None, {"refused": "huge.cif is larger than 20 MB."}, [])
    assert bench.files.notice.text == "huge.cif is larger than 20 MB."


def test_code_names_the_selected_crystal_and_is_copied(bench: Workbench) -> None:
    bench.tabs.selected_index = TABS.index("Export")
    bench.gallery.selected = 2
    python, shell = bench.files.copies.children
    assert python.content.startswith("# SrTiO3")
    assert python.content.splitlines()[0].endswith("): row 0, number 2 of these crystals")
    compile(python.content, "shown", "exec")
    assert shell.content.startswith("crystal-ldm run 04_sample ")


@pytest.mark.parametrize("kind", FORMATS)
def test_one_crystal_is_saved_in_every_format(kind: str, tmp_path: Path) -> None:
    entry = CrystalEntry(perovskite(), "varied")
    panel = FilesPanel(lambda: ([entry], [{}]))
    panel.follow(entry, "")
    sent: list[Any] = []
    panel.save_one.send = lambda content, buffers=None: sent.append((content, buffers))  # type: ignore[method-assign]
    panel.kind.value = kind
    panel.save_one.save()
    ((content, (data,)),) = sent
    file = tmp_path / content["name"]
    file.write_bytes(data)
    if kind.startswith("HTML"):
        page = data.decode()
        assert "Plotly.newPlot" in page
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=.https?:", page)
    else:
        structure = CrystalBatch.from_structures([str(file)]).to_structures()[0]
        assert StructureMatcher().fit(structure, perovskite())
    nothing = FilesPanel(lambda: ([], []))
    nothing.save_one.save()
    assert "Choose a crystal" in nothing.notice.text


def test_code_is_escaped(tiny_ldm: Any) -> None:
    recipe = tiny_ldm.sample(make_request("NaCl"), 1, **QUICK).recipe
    panel = FilesPanel(lambda: ([], []))
    recipe["model"] = "<script>alert(1)</script>"
    panel.follow(CrystalEntry(perovskite(), recipe=recipe), "")
    assert "<script>" not in panel.code.value and "&lt;script&gt;" in panel.code.value


def test_save_button_sends_the_file_once_made() -> None:
    sent: list[Any] = []
    notice = Notice()
    button = SaveButton(lambda: ("a.zip", b"content"), notice)
    button.send = lambda content, buffers=None: sent.append((content, buffers))  # type: ignore[method-assign]
    button.save()
    assert sent == [({"name": "a.zip"}, [b"content"])]
    broken = SaveButton(lambda: zip_crystals([]) and ("", b""), notice)
    broken.save()
    assert notice.text == "There is no crystal to download yet." and notice.level == "error"
    button.save()
    assert notice.text == ""


def test_drop_zone_hands_over_bytes() -> None:
    files: list[tuple[str, bytes]] = []
    notice = Notice()
    zone = DropZone(lambda name, content: files.append((name, content)), notice)
    zone.on_message(None, {"name": "x.cif"}, [memoryview(b"abc")])
    zone.on_message(None, {"name": "no buffer"}, [])
    assert files == [("x.cif", b"abc")] and notice.text == ""
    zone.on_message(None, {"refused": "x.cif is larger than 20 MB."}, [])
    assert notice.text == "x.cif is larger than 20 MB." and notice.level == "error"


@pytest.mark.parametrize(
    ("name", "kind"), [("any.cif", "cif"), ("POSCAR", "poscar"), ("晶" * 200 + ".cif", "cif")]
)
def test_uploads_are_read(name: str, kind: str) -> None:
    text = perovskite().to(fmt=kind).encode()
    assert read_upload(name, text)[0].to_structure().composition.reduced_formula == "SrTiO3"
    with pytest.raises(ValueError, match=r"cannot be parsed|cut short|empty"):
        read_upload(name, text[: len(text) // 3])
