"""The whole evaluation: identities, denominators, inputs, bad input."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from ase.io import write
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystal_ldm.errors import EvaluationError, RunError
from crystal_ldm.evaluate import Evaluation, evaluate, read_crystals
from crystal_ldm.evaluate.reference_set import Reference


@pytest.fixture(scope="module")
def identity(known_crystals):
    return evaluate(known_crystals, known_crystals, targets=known_crystals, ks=(1,), workers=2)


def test_a_set_against_itself(identity, known_crystals):
    assert identity.value("novel") == 0.0
    assert identity.value("unique") == 1.0
    assert identity.value("structure_valid") == 1.0
    assert identity.value("match_rate@1") == identity.value("metre@1") == 1.0
    assert identity.value("rmse@1") < 1e-6
    for name in ("density", "num_elements", "coordination"):
        assert identity.value(f"wasserstein {name}") == 0.0
    real = identity.value("composition_valid (reference)")
    assert identity.value("composition_valid") == real
    assert identity.table["nearest_id"].tolist() == identity.table["id"].tolist()
    assert len(identity.table) == len(known_crystals)


def test_each_column_of_the_table_is_explained(identity):
    for name in identity.table:
        explained = "space_group@0.1" if name.startswith("space_group@") else name
        assert f"`{explained}`" in Evaluation.__doc__, name


def test_the_result_prints_every_threshold(identity):
    text = str(identity)
    for name in ("min_distance 0.5", "stol 0.3", "csp_stol 0.5", "smact14", "metastable 0.1"):
        assert name in text
    assert "ltol 0.3, stol 0.5, angle_tol 10" in text


def test_a_name_in_a_note_is_text_in_a_notebook(known_crystals):
    crystals = read_crystals(known_crystals[:2])
    crystals.notes.append("2 ids occur more than once (<img src=x onerror=alert(1)>)")
    page = evaluate(crystals, metrics=(), workers=1)._repr_html_()
    assert "<img" not in page and "&lt;img" in page


def test_intervals_hold_the_value(identity):
    rows = identity.summary.dropna(subset=["ci_low"])
    assert (rows["ci_low"] <= rows["value"] + 1e-12).all()
    assert (rows["value"] <= rows["ci_high"] + 1e-12).all()


def test_every_threshold_is_an_argument(known_crystals):
    crystal = known_crystals[2]
    strict = evaluate([crystal], min_distance=9.0, metrics=("validity",), workers=1)
    assert strict.value("structure_valid") == 0.0
    assert strict.thresholds.min_distance == 9.0
    fine = evaluate([crystal], symprec=0.001, metrics=("symmetry",), workers=1)
    assert fine.table["space_group@0.001"].tolist() == [225]
    with pytest.raises(EvaluationError, match="Did you mean 'min_distance'"):
        evaluate([crystal], min_distanse=1.0)
    with pytest.raises(EvaluationError, match="Did you mean 'novelty'"):
        evaluate([crystal], metrics=("noveltie",))
    with pytest.raises(EvaluationError, match=r"oxidation_states must be one of .*mean 'smact14'"):
        evaluate([crystal], oxidation_states="smact15")


def test_symmetry_is_lost_by_rattling_at_a_fine_tolerance_only(known_crystals):
    generator = np.random.default_rng(0)
    crystals = []
    for crystal in known_crystals:
        if len(crystal) < 5:
            continue
        moved = crystal.cart_coords + generator.normal(0, 0.01, (len(crystal), 3))
        crystals.append(
            Structure(crystal.lattice, crystal.species, moved, coords_are_cartesian=True)
        )
    result = evaluate(crystals, metrics=("symmetry",), symprec=(0.001, 0.1), workers=2)
    assert result.value("P1@0.001") == 1.0
    assert result.value("P1@0.1") == 0.0


def test_properties_are_compared_with_the_labels_of_the_reference(known_crystals, tmp_path):
    crystals = known_crystals[:5]
    energies = [-1.0, -2.0, -3.0, -4.0, -5.0]
    table = pd.DataFrame({
        "material_id": [f"known-{i}" for i in range(5)],
        "formation_energy_per_atom": energies,
        "cif": [crystal.to(fmt="cif") for crystal in crystals],
    })  # fmt: skip
    table.to_csv(tmp_path / "known.csv", index=False)
    shifted = {"formation_energy_per_atom": np.array(energies) + 0.25}
    result = evaluate(crystals, tmp_path / "known.csv", properties=shifted, workers=1)
    assert result.value("wasserstein formation_energy_per_atom") == pytest.approx(0.25)
    assert result.table["nearest_id"].tolist() == [f"known-{i}" for i in range(5)]
    without = evaluate(crystals, crystals, properties=shifted, workers=1)
    assert "wasserstein formation_energy_per_atom" not in without.summary.index
    assert any("formation_energy_per_atom" in note for note in without.notes)
    with pytest.raises(EvaluationError, match="5 numbers"):
        evaluate(crystals, properties={"x": [1.0]})


def test_a_prepared_reference_gives_the_same_numbers(known_crystals):
    reference = Reference(known_crystals)
    first = evaluate(known_crystals[:10], reference, workers=2)
    second = evaluate(known_crystals[:10], reference, workers=1)
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.summary, second.summary)


def test_all_forms_of_input_hold_the_same_crystals(known_crystals, tmp_path):
    crystals = known_crystals[:6]
    plain = read_crystals(crystals)
    dictionaries = [crystal.as_dict() for crystal in crystals]
    with gzip.open(tmp_path / "crystals.json.gz", "wt") as stream:
        json.dump(dictionaries, stream)
    (tmp_path / "named.json").write_text(json.dumps(dict(zip("abcdef", dictionaries, strict=True))))
    (tmp_path / "cifs").mkdir()
    for i, crystal in enumerate(crystals):
        crystal.to(filename=str(tmp_path / "cifs" / f"{i}.cif"))
    run = tmp_path / "run"
    run.mkdir()
    frames = []
    for i, crystal in enumerate(crystals):
        atoms = AseAtomsAdaptor.get_atoms(crystal)
        atoms.info = {"id": f"0-{i}"}
        frames.append(atoms)
    write(run / "crystals.extxyz", frames, format="extxyz")
    pd.DataFrame(
        {"id": [f"0-{i}" for i in range(6)], "row": 0, "number": range(6), "formula": "NaN"}
    ).to_csv(run / "table.csv", index=False)
    for source in ("crystals.json.gz", "named.json", "cifs", "run"):
        found = read_crystals(tmp_path / source)
        assert [c.formula for c in found.crystals] == [c.formula for c in plain.crystals], source
        for a, b in zip(found.crystals, plain.crystals, strict=True):
            assert a.volume == pytest.approx(b.volume, rel=1e-5)
    assert read_crystals(tmp_path / "named.json").ids == list("abcdef")
    assert read_crystals(run).rows == [0] * 6
    assert read_crystals(run).numbers == list(range(6))
    assert read_crystals(read_crystals(run)).ids == [f"0-{i}" for i in range(6)]
    assert len(read_crystals(crystals[0])) == 1


def test_saving_writes_table_summary_and_thresholds(identity, tmp_path):
    identity.save(tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "evaluation.csv")
    assert len(table) == len(identity.table)
    content = json.loads((tmp_path / "out" / "thresholds.json").read_text())
    assert content["thresholds"]["stol"] == 0.3
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=str(tmp_path / "file")):
        identity.save(tmp_path / "file")
