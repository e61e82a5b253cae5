"""The model in the box: it loads without running code and does what the README says."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

import crystal_ldm
import crystal_ldm.errors
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.geometry.distances import min_distance
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.pretrained import available, model_file
from crystal_ldm.sampling import Elements


@pytest.fixture(scope="module")
def ldm() -> LDMModule:
    return crystal_ldm.load_pretrained()


def test_what_is_shipped_is_small_and_described() -> None:
    assert available()[0] == "oqmd_icsd"
    for name in available():
        file = model_file(name)
        assert file.stat().st_size <= 25e6
        card = file.with_suffix(".md").read_text(encoding="utf-8")
        assert "benchmarks.quality" in card


def test_the_model_knows_what_it_can_do(ldm: LDMModule) -> None:
    assert {"Sr", "Ti", "O", "Si", "Fe", "Cu", "Pb"} <= set(ldm.elements)
    assert ldm.max_atoms == 20
    assert list(ldm.conditions) == ["composition", "band_gap", "space_group", "e_above_hull"]
    gap = ldm.conditions["band_gap"].describe()
    assert gap["unit"] == "eV" and gap["min"] == 0 and gap["max"] > 5
    assert len(ldm.data_info["content_hash"]) == 64


def test_new_formulas_are_none_that_it_was_trained_on(ldm: LDMModule) -> None:
    assert {"SrTiO3", "Si", "NaCl"} & set(ldm.training_crystals.crystals.formulas)
    made = ldm.sample(None, 32, sampling_steps=1, elements=Elements(new_formula=True), filters=[])
    larger = made.crystals.num_atoms > 3  # hardly a pair of elements is left
    assert bool(made.new_formula[larger].all()) and int(larger.sum()) > 20
    assert not set(ldm.training_crystals.crystals.formulas) & set(
        made[larger.nonzero().flatten()].crystals.formulas
    )


def test_a_cell_smaller_than_all_known_ones_is_said(ldm: LDMModule) -> None:
    one = CrystalBatch.from_formulas(["TiO2", "SrTiO3"], formula_units=[1, 1])
    with pytest.warns(UserWarning, match=r"TiO2 has 6 atoms or more, not 3: ask for more") as said:
        ldm.sample(one, 2, sampling_steps=1)
    assert len(said) == 1 and "SrTiO3" not in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ldm.sample(CrystalBatch.from_formulas(["TiO2"], formula_units=[2]), 1, sampling_steps=1)


def test_strontium_titanate_comes_out_as_a_perovskite(
    ldm: LDMModule, known_crystals: list[Structure]
) -> None:
    request = CrystalBatch.from_formulas(["SrTiO3"], band_gap=[2.0])
    made = ldm.sample(request, 16, cfg_scale=2.0).to_structures()
    assert {s.composition.reduced_formula for s in made} == {"SrTiO3"}
    sound = [s for s in made if min_distance(s) > 0.5]
    assert len(sound) >= 15
    matcher = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
    assert sum(matcher.fit(s, known_crystals[0]) for s in made) >= 4


def test_a_cut_file_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "cut.safetensors"
    file.write_bytes(model_file().read_bytes()[:100_000])
    with pytest.raises(crystal_ldm.errors.CheckpointError, match="cut short"):
        LDMModule.load_from_checkpoint(file)
