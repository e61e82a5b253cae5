"""No cell of a table is a formula."""

from __future__ import annotations

import csv
import io

import pytest

from crystal_ldm.files.writing import csv_text, safe_cell


@pytest.mark.parametrize("text", ["=1+2", "+1", "@SUM(A1)", "-cmd|' /C calc'!A0", "\t=1", "\r=1"])
def test_text_that_begins_as_a_formula_is_marked_as_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell(safe_cell(text)) == f"'{text}"


@pytest.mark.parametrize("value", [-1.5, 3, "-1.5", "-inf", "", "NaCl", "P-1", "F-43m", None, True])
def test_everything_else_stays(value: object) -> None:
    assert safe_cell(value) == value


def test_no_table_of_the_project_holds_a_formula(known_crystals, tmp_path) -> None:
    from crystal_ldm.crystals.readers.report import Rejection, Report
    from crystal_ldm.evaluate import evaluate

    name = '=HYPERLINK("http://example.org")'
    result = evaluate(known_crystals[:1], metrics=["validity"], workers=1)
    result.table["id"] = [name]
    result.save(tmp_path)
    Report(1, 0, [Rejection(name, "@a", "unreadable", "+b")], []).write_csv(tmp_path / "report.csv")
    texts = [(tmp_path / f).read_text() for f in ("evaluation.csv", "report.csv")]
    texts.append(csv_text([{"id": name, "seed": -1}], ["id", "seed"]))
    for text in texts:
        rows = list(csv.reader(io.StringIO(text)))
        cells = [cell for row in rows for cell in row]
        assert any("HYPERLINK" in cell for cell in cells)
        assert not any(cell.startswith(("=", "+", "@")) for cell in cells)
