"""The table of a run, one line for each crystal."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.config.numbers import plain_number
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.geometry.distances import shortest_distance
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


def facts_of(crystal: Cell, space_group: str) -> dict[str, Any]:
    """Return what a table says of a crystal.

    Density in g/cm³, shortest distance in Å, volume in Å³ an atom.
    """
    return {
        "formula": crystal.formula,
        "num_atoms": len(crystal),
        "space_group": space_group,
        "density": round(density(crystal), 4),
        "min_distance": round(shortest_distance(crystal), 4),
        "volume_per_atom": round(crystal.volume / len(crystal), 4),
    }


def line_of(result: SampleResult, i: int, crystal: Cell, space_group: str) -> dict[str, Any]:
    """Return the line of the i-th crystal of a result.

    `displacement`, Å, as in `SampleResult`, is empty where there is none.
    """
    row, number = int(result.row[i]), int(result.number[i])
    name = crystal_name(crystal, row, number)
    line: dict[str, Any] = {
        "id": name,
        **facts_of(crystal, space_group),
        "seed": result.seed,
        "row": row,
        "number": number,
        "element_agreement": round(float(result.element_agreement[i]), 4),
        "recipe": RECIPE,
        "cif": f"{CIFS}/{name}.cif",
    }
    line["displacement"] = _plain(round(float(result.displacement[i]), 4))
    for condition, values in result.crystals.conditions.items():
        line[f"target_{condition}"] = _plain(values[i])
    return line


def table_lines(path: Path) -> Iterator[tuple[dict[str, str], int, int]]:
    """Yield each whole line of a table, and where its bytes begin and end.

    A line that was cut short, or damaged so that it does not fit, is left out.

    Raises:
        RunError: the file is no table of a run.
    """
    end = 0

    def texts(file: Iterable[bytes]) -> Iterator[str]:
        nonlocal end
        for raw in file:
            if raw.endswith(b"\n"):
                end += len(raw)
                yield raw.decode("utf-8", "replace")

    try:
        with path.open("rb") as file:
            reader = csv.DictReader(texts(file))
            columns = list(reader.fieldnames or [])
            missing = [name for name in COLUMNS if name not in columns]
            if columns and missing:
                raise _damaged(path, f"it has no column '{missing[0]}'")
            start = end
            for line in reader:
                if _fits(line, columns):
                    yield line, start, end
                start = end
    except csv.Error as error:
        raise _damaged(path, str(error)) from error


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
    number = plain_number(value)
    return "" if number is None or number != number else number
