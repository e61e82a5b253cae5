"""Sorting, filtering and selecting, in the table and in the gallery around it."""

from __future__ import annotations

import base64
import csv
import io
import json
import zipfile
from typing import Any

import numpy as np
import plotly.io as pio
import pytest
from crystal_ldm.widgets import Gallery
from crystal_ldm.widgets.browser.table import Table
from crystal_ldm.widgets.panels.rows import crystal_row, plain_row, scatter_figure, table_columns

from tests.widgets.crystals import copper, perovskite, rock_salt

COLUMNS = [
    {"key": "formula", "label": "Formula"},
    {"key": "gap", "label": "Gap"},
    {"key": "new", "label": "New"},
]
ROWS = [
    {"formula": "SrTiO3", "gap": 1.8, "new": True},
    {"formula": "NaCl", "gap": 5.0, "new": False},
    {"formula": "Cu", "new": True},
    {"formula": "BaTiO3", "gap": 1.7, "new": False},
]


@pytest.fixture
def table() -> Table:
    return Table(columns=COLUMNS, rows=ROWS)


@pytest.mark.parametrize(
    ("sort_by", "descending", "order"),
    [
        ("", False, [0, 1, 2, 3]),
        ("gap", False, [3, 0, 1, 2]),
        ("gap", True, [1, 0, 3, 2]),  # missing values are last either way
        ("formula", False, [3, 2, 1, 0]),
        ("new", True, [0, 2, 1, 3]),
        ("nothing", False, [0, 1, 2, 3]),
    ],
)
def test_sorting(table: Table, sort_by: str, descending: bool, order: list[int]) -> None:
    table.sort_by, table.descending = sort_by, descending
    assert table.order == order


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("tio3", [0, 3]),
        ("gap > 1.75", [0, 1]),
        ("Gap>=1.7, tio", [0, 3]),
        ("gap < 2, new = yes", [0]),
        ("gap != 5", [0, 3]),
        ("gap > many", []),
        ("formula = cu", [2]),
        ("gap >", [0, 1, 2, 3]),
        ("> 2, tio", [0, 3]),
        (" , ", [0, 1, 2, 3]),
        ("(((", []),
    ],
)
def test_filtering(table: Table, text: str, order: list[int]) -> None:
    table.filter = text
    assert table.order == order


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour > 2", "The table has no column 'colour'; it has Formula, Gap, New."),
        ("gap > many", "Gap is compared with a number, not 'many'."),
        ("gap >", "'gap >' is half typed: the value is missing."),
        ("tio, > 2", "'> 2' is half typed: the column is missing."),
        ("gap > 2, tio", ""),
        ("formula = cu", ""),
        ("new = yes", ""),
    ],
)
def test_a_filter_that_cannot_be_is_said(table: Table, text: str, says: str) -> None:
    table.filter = text
    assert table.problem == says


@pytest.fixture
def gallery() -> Gallery:
    return Gallery([rock_salt(), perovskite(), copper()])


def test_facts_of_a_crystal() -> None:
    facts = crystal_row(rock_salt())
    assert facts["formula"] == "NaCl" and facts["space_group"] == "Fm-3m (225)"
    assert facts["num_atoms"] == 8
    assert facts["density"] == pytest.approx(2.164, abs=0.01)
    assert facts["min_distance"] == pytest.approx(2.82)


def test_row_point_and_viewer_select_each_other(gallery: Gallery) -> None:
    assert gallery.selected == 0
    gallery.table.selected = 1
    assert gallery.viewer.structure is gallery.structures[1]
    assert gallery.viewer.title == "SrTiO3  Pm-3m (221)"
    gallery.plot.clicked = {"id": 2, "count": 1}
    assert gallery.selected == gallery.table.selected == 2
    gallery.step(1)
    assert gallery.selected == 0
    row = gallery.rows[0]
    assert gallery.plot.mark == [row["density"], row["min_distance"]]
    gallery.table.filter = "oxide that is not there"
    assert gallery.plot.mark == []


def test_steps_follow_the_tables_order(gallery: Gallery) -> None:
    gallery.table.sort_by = "density"
    assert gallery.table.order == [0, 1, 2]
    gallery.table.descending = True
    gallery.selected = 2
    gallery.step(1)
    assert gallery.selected == 1


def test_only_the_selected_structure_is_sent(gallery: Gallery) -> None:
    plotted, rows = gallery.plot.spec, gallery.table.rows
    gallery.selected = 1
    assert gallery.plot.spec is plotted and gallery.table.rows is rows
    assert "Sr" in gallery.viewer.stage.message["sdf"]
    assert "Na" not in gallery.viewer.stage.message["sdf"]
    everything = (
        json.dumps(gallery.table.get_state(["rows", "columns", "order"])) + gallery.plot.spec
    )
    assert "5.64" not in everything  # no cell, no coordinates


def test_columns_of_an_evaluation_are_added(gallery: Gallery) -> None:
    gallery.update_crystals(
        [
            (gallery.structures[0], {"band_gap": 5.0, "my_score": 1.5}),
            (gallery.structures[1], {"band_gap": float("nan")}),
        ]
    )
    keys = [column["key"] for column in gallery.table.columns]
    assert keys[3] == "band_gap" and keys[-1] == "my_score"
    assert [row.get("band_gap") for row in gallery.table.rows] == [5.0, None, None]
    gallery.menus["Colour"].value = "band_gap"
    coded = json.loads(gallery.plot.spec)["data"][0]["marker"]["color"]
    colours = np.frombuffer(base64.b64decode(coded["bdata"]), coded["dtype"])
    assert np.array_equal(colours, [5.0, np.nan, np.nan], equal_nan=True)


def test_adding_and_clearing(gallery: Gallery) -> None:
    gallery.add([perovskite(4.0, ("Ba", "Ti", "O"))], [{"id": "mine", "seed": 3}])
    assert gallery.count == 4 and gallery.rows[3]["id"] == "mine"
    assert "seed" not in [column["key"] for column in gallery.table.columns]
    gallery.table.filter = "gapp > 2"
    assert "no column 'gapp'" in gallery.notice.text and gallery.notice.level == "warning"
    gallery.table.filter = "density >"
    assert "the value is missing" in gallery.notice.text and gallery.notice.level == "info"
    gallery.clear()
    assert gallery.empty.layout.display is None, "words in place of an empty plot"
    assert (gallery.count, gallery.selected, gallery.structure) == (0, None, None)
    with pytest.raises(ValueError, match="longer than"):
        gallery.add([copper()], [{}, {}])


def test_a_filtered_point_is_not_plotted(gallery: Gallery) -> None:
    gallery.table.filter = "density > 4"
    shown = pio.from_json(gallery.plot.spec).data[0]
    assert list(shown.customdata) == [1, 2]
    assert gallery.position.value == "2 of 3"


def test_rows_hold_plain_values_only_and_columns_what_says_something() -> None:
    row = {"a": np.float32(1.5), "b": np.int64(2), "c": np.bool_(True), "d": [1], "seed": 1}
    row["e"] = np.array([1, 2])
    assert [column["key"] for column in table_columns([row])] == ["a", "b", "c", "d", "e"]
    assert [*plain_row(row).values()] == [1.5, 2, True, "[1]", 1, "[1 2]"]
    figure = scatter_figure([{"a": 1.0, "b": None}], [0], "a", "b")
    assert len(figure.data[0].x) == 0


# -- columns, duplicates, files ------------------------------------------------------------------


def test_a_column_that_is_not_shown_is_filtered_all_the_same(gallery: Gallery) -> None:
    tools = gallery.table_tools
    tools.boxes["density"].value = False
    assert gallery.table.hidden == ["density"]
    gallery.table.filter = "density > 4"
    assert gallery.table.order == [1, 2] and gallery.table.problem == ""
    gallery.update_crystals([(gallery.structures[0], {"band_gap": 5.0})])
    assert not tools.boxes["density"].value and tools.boxes["band_gap"].value
    assert tools.boxes["band_gap"].description == "Gap (eV)", "with its unit"
    for key, box in tools.boxes.items():
        box.value = key in ("formula", "density")
    assert set(gallery.table.hidden) == {
        c["key"] for c in gallery.table.columns if c["key"] not in ("formula", "density")
    }


def test_duplicates_are_folded_into_one_row(until: Any) -> None:
    turned = rock_salt()
    turned.translate_sites(range(8), [0.3, 0.1, 0.2])
    crystals = [
        perovskite(),
        rock_salt(),
        perovskite(3.95),
        copper(),
        turned.get_primitive_structure(),
    ]
    gallery = Gallery(crystals)
    gallery.table_tools.folded = True
    until(lambda: gallery.table.folded and gallery.table_tools.job.state == "done", 120)
    assert gallery.table.order == [0, 1, 3]
    assert gallery.table.marks == {"0": {"count": 2}, "1": {"count": 2}}
    assert gallery.table_tools.notice.text == "5 crystals, 3 distinct."
    gallery.add([perovskite(3.9), rock_salt(9.0)])
    until(lambda: gallery.table.marks.get("0") == {"count": 3}, 60)
    assert gallery.table.order == [0, 1, 3], "StructureMatcher scales volumes"
    gallery.table.filter = "na"
    assert gallery.table.marks == {"1": {"count": 3}}
    gallery.table_tools.folded = False
    assert gallery.table_tools.notice.text == "", "nothing is folded any more"
    gallery.table.filter = ""
    assert gallery.table.order == list(range(7)) and gallery.table.marks == {}


def test_chosen_or_shown_rows_are_downloaded(gallery: Gallery) -> None:
    tools = gallery.table_tools
    gallery.table.filter = "density > 4"
    assert tools.which.value == "2 shown rows:"
    gallery.table.checked = [0, 2]
    assert tools.which.value == "2 chosen rows:" and gallery.table.chosen == [2, 0]
    tools.boxes["num_atoms"].value = False
    name, data = tools.csv.make()
    lines = list(csv.DictReader(io.StringIO(data.decode())))
    assert name == "crystals.csv" and [line["formula"] for line in lines] == ["Cu", "NaCl"]
    assert "num_atoms" not in lines[0] and float(lines[1]["density"]) == pytest.approx(
        2.164, abs=0.01
    )
    archive = zipfile.ZipFile(io.BytesIO(tools.zip.make()[1]))
    assert sum(name.endswith(".cif") for name in archive.namelist()) == 2


def test_a_notebooks_table_has_the_headers_of_a_gallery(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import pandas as pd
    from crystal_ldm.widgets import figures

    line = {"rank": 1, "e_above_hull_chgnet": 0.0274, "decomposes_to": "Li2O + Fe", "run": "mine"}
    figures.show_table(pd.DataFrame([line]), 3)
    said = capsys.readouterr().out
    assert "Hull, CHGNet (eV/atom)" in said and "Competes with" in said and "0.027" in said
    assert "e_above_hull" not in said and "run" in said
    html = figures.theme.table_html(pd.DataFrame({"Agreement": [0.9], "<b>": [1]}), 2, index=False)
    assert 'title="Share of atoms whose element the decoder chose itself"' in html
    assert "&lt;b&gt;" in html and "0.90" in html


def test_no_two_columns_share_a_header() -> None:
    import pandas as pd
    from crystal_ldm.widgets import figures
    from crystal_ldm.widgets.panels.rows import COLUMNS

    headers = [column.axis for column in COLUMNS.values()]
    assert len(set(headers)) == len(headers)
    figures.show_table(pd.DataFrame([dict.fromkeys(COLUMNS, 1.0)]))
