"""Writing generated crystals: CIFs, raw cells, one table, the recipe.

Each batch is written as soon as it is finished. The table's line of a crystal is written last, so
that a crystal is in the table only if all of it is on disk; a run that was killed is continued
without repeating what is in the table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals.distances import min_distance
from crystal_ldm.crystals.writers import extxyz_frame, symmetrised_cif
from crystal_ldm.errors import RunError
from crystal_ldm.files.atomic import atomic_write, make_folder, write_error
from crystal_ldm.recipe import embed_recipe, write_recipe

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystal_ldm.sampling import SampleResult

TABLE = "table.csv"
EXTXYZ = "crystals.extxyz"
RECIPE = "recipe.json"
COLUMNS = (
    "id", "formula", "num_atoms", "space_group", "density", "min_distance", "volume_per_atom",
    "seed", "row", "number", "element_agreement", "recipe", "cif",
)  # fmt: skip


@dataclass
class ResultWriter:
    """Writes results into a run directory; opened again, it goes on where it was.

    Attributes:
        run_dir: the directory.
        symprec: tolerance of the symmetry search for the CIFs, Å.
        p1_cif: whether to write the raw cells as P1 CIFs too, under `cif_p1/`.
        rows: the table so far, a dict of text a crystal.
    """

    run_dir: Path
    symprec: float = 0.1
    p1_cif: bool = False
    rows: list[dict[str, str]] = field(default_factory=list)
    _columns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run_dir = Path(self.run_dir)
        try:
            self._recover()
        except OSError as error:
            raise write_error(self.run_dir / TABLE, error) from error

    @property
    def done(self) -> set[tuple[int, int]]:
        """(row, number) of the crystals that are on disk."""
        return {(int(r["row"]), int(r["number"])) for r in self.rows}

    def write(self, result: SampleResult) -> list[dict[str, Any]]:
        """Write the crystals of a result and return their lines of the table.

        Raises:
            RunError: if the directory cannot be written; what was written before is kept.
        """
        folders = ["cif", "cif_p1"] if self.p1_cif else ["cif"]
        for folder in folders:
            make_folder(self.run_dir / folder)
        if not (self.run_dir / RECIPE).exists():
            write_recipe(self.run_dir / RECIPE, result.recipe)
        lines, frames = [], []
        for i, structure in enumerate(result.to_structures()):
            row, number = int(result.row[i]), int(result.number[i])
            line = self._write_crystal(result, i, structure, row, number)
            lines.append(line)
            frames.append(extxyz_frame(structure, line["id"]))
        self._append(EXTXYZ, "".join(frames))
        self._append_rows(lines)
        return lines

    def _write_crystal(
        self, result: SampleResult, i: int, structure: Structure, row: int, number: int
    ) -> dict[str, Any]:
        formula = structure.composition.reduced_formula
        name = f"{row:03d}-{number:05d}-{formula}"
        cif, space_group = symmetrised_cif(structure, self.symprec)
        path = Path("cif") / f"{name}.cif"
        atomic_write(self.run_dir / path, embed_recipe(cif, result.recipe, row, number))
        if self.p1_cif:
            raw = embed_recipe(structure.to(fmt="cif"), result.recipe, row, number)
            atomic_write(self.run_dir / "cif_p1" / f"{name}.cif", raw)
        line: dict[str, Any] = {
            "id": name,
            "formula": formula,
            "num_atoms": len(structure),
            "space_group": space_group,
            "density": round(float(structure.density), 4),
            "min_distance": round(min_distance(structure), 4),
            "volume_per_atom": round(structure.volume / len(structure), 4),
            "seed": result.seed,
            "row": row,
            "number": number,
            "element_agreement": round(float(result.element_agreement[i]), 4),
            "recipe": RECIPE,
            "cif": path.as_posix(),
        }
        for condition, values in result.crystals.conditions.items():
            value = values[i]
            line[f"target_{condition}"] = value if isinstance(value, str) else _plain(value)
        return line

    def _append_rows(self, lines: list[dict[str, Any]]) -> None:
        if not lines:
            return
        buffer = io.StringIO()
        if not self._columns:
            self._columns = list(lines[0])
            csv.writer(buffer, lineterminator="\n").writerow(self._columns)
        writer = csv.DictWriter(buffer, self._columns, extrasaction="ignore", lineterminator="\n")
        writer.writerows(lines)
        self._append(TABLE, buffer.getvalue())
        self.rows += [{k: str(v) for k, v in line.items()} for line in lines]

    def _append(self, name: str, text: str) -> None:
        path = self.run_dir / name
        try:
            with path.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise RunError(
                f"{write_error(path, error)} Finished crystals are kept: run again to go on."
            ) from error

    def _is_whole(self, row: dict[str, Any]) -> bool:
        """Return whether a line of the table has all its fields and its crystal is there."""
        if set(row) != set(self._columns) or None in row.values():
            return False
        numbers = str(row.get("row")).isdecimal() and str(row.get("number")).isdecimal()
        return bool(numbers and row.get("cif")) and _is_file(self.run_dir / row["cif"])

    def _recover(self) -> None:
        """Read the table of an earlier call; drop what a kill left half-written."""
        table = self.run_dir / TABLE
        if not table.is_file():
            (self.run_dir / EXTXYZ).unlink(missing_ok=True)
            return
        # A damaged line is one that does not fit: its crystal is made again.
        text = table.read_text(encoding="utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1]
        try:
            reader = csv.DictReader(io.StringIO(whole))
            self._columns = list(reader.fieldnames or [])
            self.rows = [r for r in reader if self._is_whole(r)]
        except csv.Error as error:
            raise _damaged(table, str(error)) from error
        missing = [name for name in COLUMNS if name not in self._columns]
        if self._columns and missing:
            raise _damaged(table, f"it has no column '{missing[0]}'")
        kept = {r["id"] for r in self.rows}
        frames = dict(_read_extxyz(self.run_dir / EXTXYZ))
        self.rows = [r for r in self.rows if r["id"] in frames]
        buffer = io.StringIO()
        if self._columns:
            writer = csv.DictWriter(buffer, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        if buffer.getvalue() != text:
            atomic_write(table, buffer.getvalue())
        if set(frames) != kept or (self.run_dir / EXTXYZ).is_file():
            atomic_write(self.run_dir / EXTXYZ, "".join(frames[r["id"]] for r in self.rows))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except ValueError:  # a name that no file can have
        return False


def _damaged(table: Path, reason: str) -> RunError:
    return RunError(
        f"'{table}' is damaged ({reason}). Name another run_dir, or remove the table to make the "
        "crystals again; their CIFs are kept."
    )


def _plain(value: Any) -> Any:
    number = value.item() if hasattr(value, "item") else value
    return "" if number is None or number != number else number


def _read_extxyz(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of each whole frame."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    i = 0
    while i < len(lines) and lines[i].strip().isdecimal():
        size = int(lines[i]) + 2
        frame = lines[i : i + size]
        if len(frame) < size or not frame[-1].endswith("\n"):
            return
        name = next((w[3:] for w in frame[1].split() if w.startswith("id=")), "")
        yield name, "".join(frame)
        i += size
