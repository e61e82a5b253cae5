"""Crystals in a directory: CIFs, raw cells and one table, added in small portions.

The table's line of a crystal is written last, so that a crystal is in the table only if all of it
is on disk: a process that is killed, or a power cut, costs at most one portion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from crystal_ldm.crystals.symmetry.projection import STRICT
from crystal_ldm.crystals.writers import cif_without_symmetry, extxyz_frame, symmetrised_cif
from crystal_ldm.errors import RunError
from crystal_ldm.files.run_directory import CIFS, P1_CIFS, RAW_CELLS, TABLE
from crystal_ldm.files.writing import (
    append_text,
    atomic_path,
    atomic_write,
    csv_text,
    flush_files,
    make_folder,
    write_error,
)
from crystal_ldm.recipe import embed_recipe, recipe_hash
from crystal_ldm.runs.table import line_of, places_of, read_table

if TYPE_CHECKING:
    from crystal_ldm.sampling import SampleResult

PORTION = 32
"""Crystals that are written at a time; each portion costs one flush of the disk."""


class CrystalText(NamedTuple):
    """What the files of a run say of a crystal.

    Attributes:
        line: of the table, see `line_of`.
        frame: of the raw cells.
        cifs: the CIF for each folder of CIFs.
    """

    line: dict[str, Any]
    frame: str
    cifs: dict[str, str]


def crystal_texts(
    result: SampleResult, recipe: Mapping[str, Any], symprec: float, p1_cif: bool
) -> list[CrystalText]:
    """Return what the files of a run say of each crystal of a result; see `CrystalFiles`."""
    texts, digest = [], recipe_hash(recipe)
    for i, crystal in enumerate(result.crystals.to_cells()):
        # A crystal that was moved onto a group has it exactly; at a wider tolerance it may have
        # a higher one.
        exact = not math.isnan(float(result.displacement[i]))
        cif, space_group = symmetrised_cif(crystal, min(STRICT, symprec) if exact else symprec)
        line = line_of(result, i, crystal, space_group)
        cifs = {CIFS: cif}
        if p1_cif:
            cifs[P1_CIFS] = cif_without_symmetry(crystal)
        for folder, text in cifs.items():
            cifs[folder] = embed_recipe(text, recipe, line["row"], line["number"], digest)
        texts.append(CrystalText(line, extxyz_frame(crystal, line["id"]), cifs))
    return texts


class CrystalFiles:
    """Adds crystals to a directory; opened again, it goes on where it was.

    Attributes:
        folder: the directory.
        recipe: what makes all of its crystals; None: that of the first result that is added.
        symprec: tolerance of the symmetry search for the CIFs, Å.
        p1_cif: whether to write the raw cells as CIFs without symmetry, too.
        done: (row of the request, number in it) of the crystals that are on disk.

    Raises:
        RunError: the directory cannot be written, or its table is no table of crystals.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Mapping[str, Any] | None = None,
        symprec: float = 0.1,
        p1_cif: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.recipe = recipe
        self.symprec = symprec
        self.p1_cif = p1_cif
        self.done: set[tuple[int, int]] = set()
        self._columns: list[str] = []
        try:
            self._recover()
        except OSError as error:
            raise write_error(self.folder / TABLE, error) from error

    @property
    def rows(self) -> list[dict[str, str]]:
        """The table, read from the disk: a dict of text a crystal."""
        return read_table(self.folder / TABLE)[1] if (self.folder / TABLE).is_file() else []

    def add(self, result: SampleResult) -> list[dict[str, Any]]:
        """Write the crystals of a result and return their lines of the table.

        Raises:
            RunError: if the directory cannot be written; what was written before is kept.
        """
        if self.recipe is None:
            self.recipe = result.recipe
        lines: list[dict[str, Any]] = []
        for portion in torch.arange(len(result)).split(PORTION):
            lines += self.write(
                crystal_texts(result[portion], self.recipe, self.symprec, self.p1_cif)
            )
        return lines

    def write(self, texts: Sequence[CrystalText]) -> list[dict[str, Any]]:
        """Write crystals as `crystal_texts` has them, with one flush of the disk; see `add`."""
        for name in (CIFS, P1_CIFS) if self.p1_cif else (CIFS,):
            folder = make_folder(self.folder / name)
            if folder.is_symlink():
                raise RunError(f"'{folder}' is a symbolic link, and a run writes through none.")
        lines = [text.line for text in texts]
        cifs = {
            self.folder / folder / f"{text.line['id']}.cif": cif
            for text in texts
            for folder, cif in text.cifs.items()
        }
        for file, cif in cifs.items():
            atomic_write(file, cif, flush=False)
        new = not self._columns
        self._columns = self._columns or list(lines[0])
        try:
            append_text(self.folder / RAW_CELLS, "".join(text.frame for text in texts))
            flush_files([*cifs, self.folder / RAW_CELLS])
            append_text(self.folder / TABLE, csv_text(lines, self._columns, header=new))
        except RunError as error:
            raise RunError(f"{error} Finished crystals are kept: run again to go on.") from error
        self.done |= {(line["row"], line["number"]) for line in lines}
        return lines

    def sort(self) -> None:
        """Put table and raw cells in the order of the request, whatever order they came in."""
        written, cells = self.rows, self.folder / RAW_CELLS
        rows = sorted(written, key=lambda row: (int(row["row"]), int(row["number"])))
        if rows == written:
            return
        place, start = dict[str, tuple[int, int]](), 0
        for name, frame in _frames(cells):
            size = len(frame.encode())
            place[name] = start, size
            start += size
        try:
            with (
                cells.open("rb") as source,
                atomic_path(cells) as temporary,
                temporary.open("wb") as out,
            ):
                for start, size in (place[row["id"]] for row in rows):
                    source.seek(start)
                    out.write(source.read(size))
        except OSError as error:
            raise write_error(cells, error) from error
        atomic_write(self.folder / TABLE, csv_text(rows, self._columns))

    def flush(self) -> None:
        """Make the last lines of the table last through a power cut."""
        if (self.folder / TABLE).is_file():
            flush_files([self.folder / TABLE])

    def _recover(self) -> None:
        """Read what an earlier call wrote; drop what a kill left half-written."""
        table, cells = self.folder / TABLE, self.folder / RAW_CELLS
        if not table.is_file():
            cells.unlink(missing_ok=True)
            return
        self._columns, rows, whole = read_table(table)
        ids = [name for name, _ in _frames(cells)]
        ids_with_cells = set(ids)
        kept = {
            row["id"]: row
            for row in rows
            if row["id"] in ids_with_cells and (self.folder / row["cif"]).is_file()
        }
        if not whole or len(kept) != len(rows):
            atomic_write(table, csv_text(kept.values(), self._columns) if self._columns else "")
        size = sum(len(text.encode()) for _, text in _frames(cells))
        if len(kept) != len(ids) or (cells.is_file() and size != cells.stat().st_size):
            with atomic_path(cells) as temporary, temporary.open("w", encoding="utf-8") as out:
                left = set(kept)
                for name, text in _frames(cells):
                    if name in left:
                        left.remove(name)
                        out.write(text)
        self.done = places_of(kept.values())


def _frames(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of each whole frame of an extxyz file."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        while (first := file.readline()).strip().isdecimal() and len(first) < 12:
            frame = [first]
            for _ in range(int(first) + 1):
                frame.append(file.readline())
                if not frame[-1].endswith("\n"):
                    return
            name = next((w[3:] for w in frame[1].split() if w.startswith("id=")), "")
            yield name, "".join(frame)
