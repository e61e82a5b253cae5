"""The pieces of a large request: which there are, where they lie, how they become one run."""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from crystal_ldm.errors import RunError
from crystal_ldm.files.atomic import atomic_path, write_error

PIECES = "pieces"


@dataclass(frozen=True)
class Piece:
    """The crystals of some rows of a request and some numbers in each of them."""

    first_row: int
    rows: int
    first_number: int
    numbers: int

    @property
    def name(self) -> str:
        """Name of its directory."""
        return f"{self.first_row:06d}-{self.first_number:09d}"

    def holds(self, row: int, number: int) -> bool:
        """Return whether a crystal belongs to the piece."""
        return (
            0 <= row - self.first_row < self.rows and 0 <= number - self.first_number < self.numbers
        )


def split_request(rows: int, num_samples: int, offset: int, size: int) -> list[Piece]:
    """Return pieces of about `size` crystals that together are the whole request.

    Args:
        rows: of the request.
        num_samples: crystals a row.
        offset: number of the first crystal of each row.
        size: most crystals in a piece.
    """
    if num_samples >= size:
        starts = range(offset, offset + num_samples, size)
        end = offset + num_samples
        return [Piece(r, 1, n, min(size, end - n)) for r in range(rows) for n in starts]
    step = max(1, size // num_samples)
    return [Piece(r, min(step, rows - r), offset, num_samples) for r in range(0, rows, step)]


def without_finished(run_dir: Path, pieces: list[Piece], done: set[tuple[int, int]]) -> list[Piece]:
    """Leave out pieces that are in the table; one that is there in part is begun anew."""
    rows, numbers, offset = pieces[0].rows, pieces[0].numbers, pieces[0].first_number
    there = Counter(
        (row // rows * rows, offset + (number - offset) // numbers * numbers)
        for row, number in done
    )
    for piece in pieces:
        if there[piece.first_row, piece.first_number]:
            for folder in piece_folders(run_dir, piece):
                shutil.rmtree(folder, ignore_errors=True)
    return [p for p in pieces if there[p.first_row, p.first_number] < p.rows * p.numbers]


def piece_folders(run_dir: Path, piece: Piece) -> tuple[Path, Path]:
    """Return the directories of a finished piece and of one in the making."""
    folder = run_dir / PIECES
    return folder / piece.name, folder / f"{piece.name}.part"


def join_pieces(run_dir: Path, pieces: list[Piece]) -> None:
    """Put the finished pieces together; killed at any moment, it can be done again.

    CIFs are moved first. The table comes last, and only then the pieces' own tables are removed.
    """
    from crystal_ldm.runs.writer import EXTXYZ, RECIPE, TABLE

    folders = [piece_folders(run_dir, piece)[0] for piece in pieces]
    try:
        for folder in folders:
            for file in folder.glob("cif*/*.cif"):
                (run_dir / file.parent.name).mkdir(exist_ok=True)
                os.replace(file, run_dir / file.parent.name / file.name)
        if folders and not (run_dir / RECIPE).exists():
            with atomic_path(run_dir / RECIPE) as temporary:
                shutil.copyfile(folders[0] / RECIPE, temporary)
        for name, has_header in ((EXTXYZ, False), (TABLE, True)):
            parts = [f / name for f in [run_dir, *folders] if (f / name).is_file()]
            if folders:
                _concatenate(parts, run_dir / name, has_header)
    except OSError as error:
        raise write_error(run_dir, error) from error
    shutil.rmtree(run_dir / PIECES, ignore_errors=True)


def _concatenate(parts: list[Path], target: Path, has_header: bool) -> None:
    with atomic_path(target) as temporary, temporary.open("wb") as out:
        for number, part in enumerate(parts):
            with part.open("rb") as source:
                header = source.readline() if has_header and number else b""
                if header and next(csv.reader([header.decode()])) != _columns(parts[0]):
                    raise RunError(f"'{part}' has other columns than '{parts[0]}'.")
                shutil.copyfileobj(source, out)


def _columns(table: Path) -> list[str]:
    with table.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))
