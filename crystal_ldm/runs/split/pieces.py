"""The pieces of a large request: which there are, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from crystal_ldm.files.run_contents import PIECES


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

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield (row, number) of each crystal of the piece."""
        rows = range(self.first_row, self.first_row + self.rows)
        return product(rows, range(self.first_number, self.first_number + self.numbers))


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


def piece_folders(run_dir: Path, piece: Piece) -> tuple[Path, Path]:
    """Return the directories of a finished piece and of one in the making."""
    folder = run_dir / PIECES
    return folder / piece.name, folder / f"{piece.name}.part"
