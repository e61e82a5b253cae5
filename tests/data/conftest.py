"""Real crystals for the data tests: MP-20 where the development files lie, else OQMD."""

from __future__ import annotations

import csv
import gzip
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
from pymatgen.core import Structure

from crystal_ldm.crystals.readers import Entry, read_payload
from crystal_ldm.data.oqmd import oqmd_database, read_oqmd

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
ROWS = 150

Row = dict[str, str]


@pytest.fixture(scope="session")
def database() -> Path:
    """The OQMD database, fetched into the user's cache when it is not there."""
    return oqmd_database()


@pytest.fixture(scope="session")
def oqmd_entries(database: Path) -> list[Entry]:
    return read_oqmd(database, limit=250).entries


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """Rows in the public csv layout: material_id, formation_energy_per_atom, band_gap, cif."""
    file = SHARED / "mp_20" / "val.csv.gz"
    if file.exists():
        with gzip.open(file, "rt", newline="") as handle:
            return [row for row, _ in zip(csv.DictReader(handle), range(ROWS), strict=False)]
    entries = request.getfixturevalue("oqmd_entries")
    small = [e for e in entries if len(e.payload.numbers) <= 20][:ROWS]
    return [
        {
            "material_id": entry.id,
            "formation_energy_per_atom": str(entry.labels["formation_energy_per_atom"]),
            "band_gap": str(entry.labels["band_gap"]),
            "cif": to_structure(entry).to(fmt="cif"),
        }
        for entry in small
    ]


@pytest.fixture(scope="session")
def structures(rows: list[Row]) -> list[Structure]:
    """The crystals of `rows`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [Structure.from_str(row["cif"], fmt="cif") for row in rows]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CRYSTAL_LDM_CACHE", str(folder))
    return folder


@pytest.fixture
def table(tmp_path: Path, rows: list[Row]) -> Path:
    """A csv file of the first 20 rows."""
    return write_rows(tmp_path / "crystals.csv", rows[:20])


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def write():
    """Write rows as a csv or csv.gz file."""
    return write_rows


def to_structure(entry: Entry) -> Structure:
    cell = read_payload(entry.payload)[0].checked()
    return Structure(cell.lattice, cell.numbers.tolist(), cell.frac_coords)


@pytest.fixture
def as_structure():
    """An entry's pymatgen structure."""
    return to_structure
