from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import PARTS, load_dataset
from crystal_ldm.data.dataset import CrystalDataset
from crystal_ldm.errors import DataError


@pytest.fixture(scope="module")
def dataset(rows, tmp_path_factory: pytest.TempPathFactory, structures) -> CrystalDataset:
    from crystal_ldm.crystals.readers import Source
    from crystal_ldm.crystals.readers.entries import Entry
    from crystal_ldm.data.build import About, build_dataset
    from crystal_ldm.data.cleaning import Filters

    entries = [
        Entry(
            row["material_id"],
            f"row {i}",
            row["cif"],
            {
                "band_gap": float(row["band_gap"]),
                "formation_energy_per_atom": float(row["formation_energy_per_atom"]),
                "family": "metal" if float(row["band_gap"]) == 0 else None,
            },
        )
        for i, row in enumerate(rows)
    ]
    path = tmp_path_factory.mktemp("data") / "real.safetensors"
    build_dataset(Source(entries), About("real"), Filters()).write(path)
    return CrystalDataset.open(path)


def test_every_crystal_comes_back_as_the_one_that_went_in(
    dataset: CrystalDataset, rows, structures: list[Structure]
):
    original = {row["material_id"]: s for row, s in zip(rows, structures, strict=True)}
    matcher = StructureMatcher()
    assert len(dataset) == len(rows)
    for i, name in enumerate(dataset.ids):
        rms = matcher.get_rms_dist(dataset.structure(i), original[name])
        assert rms is not None and rms[0] < 1e-4, name


def test_stored_arrays_are_those_of_the_canonical_form(dataset: CrystalDataset, rows, structures):
    position = {name: i for i, name in enumerate(dataset.ids)}
    fresh = CrystalBatch.from_structures(structures)
    stored = dataset.batch([position[row["material_id"]] for row in rows])
    assert torch.equal(fresh.atomic_numbers, stored.atomic_numbers)
    assert fresh.lattices is not None and stored.lattices is not None
    assert fresh.frac_coords is not None and stored.frac_coords is not None
    assert torch.equal(fresh.lattices, stored.lattices)
    shift = fresh.frac_coords - stored.frac_coords
    assert (shift - shift.round()).abs().max() < 1e-6


def test_coordinates_lie_in_the_cell_and_padding_is_zero(dataset: CrystalDataset):
    batch = dataset.batch(np.arange(len(dataset)))
    assert batch.frac_coords is not None
    assert batch.frac_coords.min() >= 0 and batch.frac_coords.max() < 1
    assert not batch.atomic_numbers[~batch.mask].any()
    assert not batch.frac_coords[~batch.mask].any()


def test_a_batch_is_padded_to_its_own_largest_crystal(dataset: CrystalDataset):
    small = np.flatnonzero(dataset.num_atoms == dataset.num_atoms.min())
    batch = dataset.batch(small)
    assert batch.atomic_numbers.shape[1] == dataset.num_atoms.min()
    assert batch.ids == [dataset.ids[i] for i in small]


def test_labels_travel_with_the_crystals(dataset: CrystalDataset, rows):
    values = {row["material_id"]: float(row["band_gap"]) for row in rows}
    chosen = [5, 3, 17]
    batch = dataset.batch(chosen)
    gaps = batch.conditions["band_gap"]
    assert torch.is_tensor(gaps) and gaps.dtype == torch.float32
    assert gaps.tolist() == pytest.approx([values[dataset.ids[i]] for i in chosen], rel=1e-6)
    assert batch.conditions["family"] == [
        "metal" if values[dataset.ids[i]] == 0 else None for i in chosen
    ]


def test_the_parts_cover_the_set_without_overlap(dataset: CrystalDataset):
    indices = [dataset.indices(part) for part in PARTS]
    assert sorted(np.concatenate(indices).tolist()) == list(range(len(dataset)))
    formulas = [{dataset.formulas[i] for i in rows} for rows in indices]
    assert not (formulas[0] & formulas[1] or formulas[0] & formulas[2] or formulas[1] & formulas[2])
    with pytest.raises(DataError, match="Did you mean 'train'"):
        dataset.indices("trian")


def test_element_counts_are_numbers_of_distinct_formulas(dataset: CrystalDataset):
    from pymatgen.core import Composition

    train = {dataset.formulas[i] for i in dataset.indices("train")}
    elements = [{str(e) for e in Composition(f)} for f in train]
    counts = dataset.element_counts("train")
    assert counts == {e: sum(e in es for es in elements) for e in set().union(*elements)}
    assert set(dataset.vocabulary(5)) == {e for e, n in counts.items() if n >= 5}
    assert dataset.vocabulary(10**6) == ()


def test_indices_beyond_the_end_are_refused(dataset: CrystalDataset):
    with pytest.raises(DataError, match="were asked for"):
        dataset.batch([len(dataset)])
    with pytest.raises(DataError, match="were asked for"):
        dataset.batch([-1])
    assert len(dataset.batch([])) == 0


def test_the_same_source_has_the_same_hash_and_another_one_another(table: Path, write, rows):
    first = load_dataset(table, progress=False)
    again = load_dataset(table, progress=False, rebuild=True)
    assert first.content_hash == again.content_hash
    changed = [{**row, "band_gap": "7.5"} if i == 4 else row for i, row in enumerate(rows[:20])]
    write(table, changed)
    assert load_dataset(table, progress=False).content_hash != first.content_hash


def test_a_cached_set_opens_in_a_moment(table: Path):
    load_dataset(table, progress=False)
    start = time.perf_counter()
    load_dataset(table, progress=False)
    assert time.perf_counter() - start < 0.3


def test_the_summary_says_what_there_is_and_what_was_dropped(table: Path, capsys):
    dataset = load_dataset(table, max_atoms=6)
    printed = capsys.readouterr().out
    assert dataset.summary in printed
    assert f"{len(dataset)} crystals" in printed and "band_gap" in printed
    dropped = 20 - len(dataset)
    assert 0 < dropped < 20
    assert f"Dropped {dropped} of 20: more than 6 atoms {dropped}" in printed
    assert dataset.num_atoms.max() <= 6
