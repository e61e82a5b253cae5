"""The table of a run, one line for each crystal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.geometry.distances import shortest_distance
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP
from crystal_ldm.errors import RunError
from crystal_ldm.evaluate.description import density
from crystal_ldm.files.run_directory import CIFS, RECIPE

if TYPE_CHECKING:
    from crystal_ldm.sampling import SampleResult


COLUMNS = (
    "id", "formula", "num_atoms", "space_group", "density", "min_distance", "volume_per_atom",
    "seed", "row", "number", "element_agreement", "recipe", "cif",
)  # fmt: skip


def crystal_name(crystal: Cell, row: int, number: int) -> str:
    """Return the id of a crystal: its place in the request and its formula."""
    return f"{row:03d}-{number:05d}-{crystal.formula}"


def line_of(result: SampleResult, i: int, crystal: Cell, space_group: str) -> dict[str, Any]:
    """Return the line of the i-th crystal of a result.

    Density in g/cm³, shortest distance in Å, volume in Å³ an atom; where a space group was asked
    for, the largest displacement of an atom on the way to it, Å.
    """
    row, number = int(result.row[i]), int(result.number[i])
    name = crystal_name(crystal, row, number)
    line: dict[str, Any] = {
        "id": name,
        "formula": crystal.formula,
        "num_atoms": len(crystal),
        "space_group": space_group,
        "density": round(density(crystal), 4),
        "min_distance": round(shortest_distance(crystal), 4),
        "volume_per_atom": round(crystal.volume / len(crystal), 4),
        "seed": result.seed,
        "row": row,
        "number": number,
        "element_agreement": round(float(result.element_agreement[i]), 4),
        "recipe": RECIPE,
        "cif": f"{CIFS}/{name}.cif",
    }
    if bool(result.displacement[i].isfinite()):
        line["displacement"] = round(float(result.displacement[i]), 4)
    for condition, values in result.crystals.conditions.items():
        value = values[i]
        if condition == SPACE_GROUP:
            line["displacement"] = round(float(result.displacement[i]), 4)
        line[f"target_{condition}"] = value if isinstance(value, str) else _plain(value)
    return line


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]], bool]:
    """Return columns and whole lines of a table, and whether that is all of it.

    A line that was cut short, or damaged so that it does not fit, is left out.

    Raises:
        RunError: the file is no table of a run.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    try:
        reader = csv.DictReader(io.StringIO(whole))
        columns = list(reader.fieldnames or [])
        lines = list(reader)
    except csv.Error as error:
        raise _damaged(path, str(error)) from error
    missing = [name for name in COLUMNS if name not in columns]
    if columns and missing:
        raise _damaged(path, f"it has no column '{missing[0]}'")
    rows = [row for row in lines if _fits(row, columns)]
    return columns, rows, whole == text and len(rows) == len(lines)


def _fits(row: dict[str, Any], columns: list[str]) -> bool:
    if set(row) != set(columns) or None in row.values():
        return False
    numbers = (row["row"], row["number"])
    return (
        all(len(n) < 12 and n.isascii() and n.isdecimal() for n in numbers)
        and row["cif"] == f"{CIFS}/{row['id']}.cif"
        and "/" not in row["id"]
        and "\\" not in row["id"]
    )


def _damaged(path: Path, reason: str) -> RunError:
    return RunError(
        f"'{path}' is damaged ({reason}). Name another run_dir, or remove the table to make the "
        "crystals again; their CIFs are kept."
    )


def _plain(value: Any) -> Any:
    number = value.item() if hasattr(value, "item") else value
    return "" if number is None or number != number else number


def places_of(rows: Iterable[Mapping[str, str]]) -> set[tuple[int, int]]:
    """Return (row of the request, number in it) of each line of a table."""
    return {(int(row["row"]), int(row["number"])) for row in rows}
