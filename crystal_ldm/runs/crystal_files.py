"""Crystals in a directory: CIFs, raw cells and one table, added in small portions.

The table's line of a crystal is written last, so that a crystal is in the table only if all of it
is on disk: a process that is killed, or a power cut, costs at most one portion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from crystal_ldm.runs.table import line_of, table_lines

if TYPE_CHECKING:
    from crystal_ldm.sampling import SampleResult

_Place = tuple[int, int]
"""Where bytes of a file begin and end."""

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


@dataclass
class CrystalFiles:
    """Adds crystals to a directory; opened again, it goes on where it was.

    Attributes:
        folder: the directory.
        recipe: what makes all of its crystals.
        symprec: tolerance of the symmetry search for the CIFs, Å.
        p1_cif: whether to write the raw cells as CIFs without symmetry, too.
        done: (row of the request, number in it) of the crystals that are on disk.

    Raises:
        RunError: the directory cannot be written, or its table is no table of crystals.
    """

    folder: Path
    recipe: Mapping[str, Any]
    symprec: float = 0.1
    p1_cif: bool = False

    def __post_init__(self) -> None:
        self._columns: list[str] = []
        try:
            self._tidy()
        except OSError as error:
            raise write_error(self.folder / TABLE, error) from error

    @property
    def rows(self) -> list[dict[str, str]]:
        """The table, read from the disk: a dict of text a crystal."""
        table = self.folder / TABLE
        return [line for line, *_ in table_lines(table)] if table.is_file() else []

    def add(self, result: SampleResult) -> None:
        """Write the crystals of a result.

        Raises:
            RunError: if the directory cannot be written; what was written before is kept.
        """
        for portion in torch.arange(len(result)).split(PORTION):
            self.write(crystal_texts(result[portion], self.recipe, self.symprec, self.p1_cif))

    def write(self, texts: Sequence[CrystalText]) -> None:
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

    def sort(self) -> None:
        """Put table and raw cells in the order of the request, whatever order they came in."""
        self._tidy(in_order=True)

    def flush(self) -> None:
        """Make the last lines of the table last through a power cut."""
        if (self.folder / TABLE).is_file():
            flush_files([self.folder / TABLE])

    def _tidy(self, in_order: bool = False) -> None:
        """Read what is there; drop what a kill left half-written.

        In memory there are the places of the crystals alone.
        """
        table, cells = self.folder / TABLE, self.folder / RAW_CELLS
        frames = _frames(cells)
        whole: dict[str, tuple[tuple[int, int], _Place]] = {}
        for line, start, end in table_lines(table) if table.is_file() else ():
            if line["id"] in frames and (self.folder / line["cif"]).is_file():
                whole[line["id"]] = (int(line["row"]), int(line["number"])), (start, end)
                self._columns = list(line)
        self.done = {place for place, _ in whole.values()}
        if not whole:
            for file in (table, cells):
                file.unlink(missing_ok=True)
            return
        names = sorted(whole, key=lambda name: whole[name]) if in_order else list(whole)
        _rearrange(table, [_header(table), *(whole[name][1] for name in names)])
        _rearrange(cells, [frames[name] for name in names])


def _header(table: Path) -> _Place:
    with table.open("rb") as file:
        return 0, len(file.readline())


def _frames(path: Path) -> dict[str, _Place]:
    """Return where the bytes of each whole frame of an extxyz file are, by id."""
    places: dict[str, _Place] = {}
    if not path.is_file():
        return places
    with path.open("rb") as file:
        end = 0
        while (first := file.readline()).strip().isdigit() and len(first) < 12:
            frame = [first]
            while len(frame) < int(first) + 2 and frame[-1].endswith(b"\n"):
                frame.append(file.readline())
            if not frame[-1].endswith(b"\n"):
                break
            words = frame[1].decode("utf-8", "replace").split()
            name = next((word[3:] for word in words if word.startswith("id=")), "")
            start, end = end, end + sum(map(len, frame))
            places.setdefault(name, (start, end))
    return places


def _rearrange(path: Path, places: Sequence[_Place]) -> None:
    """Write a file anew from parts of itself, unless they are all of it."""
    length = sum(end - start for start, end in places)
    if list(places) == sorted(places) and length == path.stat().st_size:
        return
    try:
        with atomic_path(path) as part, path.open("rb") as source, part.open("wb") as out:
            for start, end in places:
                source.seek(start)
                out.write(source.read(end - start))
    except OSError as error:
        raise write_error(path, error) from error
