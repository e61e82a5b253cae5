"""Bad input is handled as `evaluate` documents: each entry keeps its row, with a reason."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate import evaluate, read_crystals
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.evaluate.stability.reference import build


def _bad_set(known_crystals) -> list:
    disordered = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    broken = known_crystals[2].copy()
    broken.translate_sites([0], [np.nan, 0, 0])
    collapsed = Structure(Lattice.cubic(0.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    flat = Structure([[1, 0, 0], [0, 1, 0], [1, 1, 1e-9]], ["Na"], [[0, 0, 0]])
    return [known_crystals[2], disordered, broken, None, collapsed, flat, known_crystals[2]]


def test_nothing_is_dropped_from_a_denominator(known_crystals, pool):
    crystals = _bad_set(known_crystals)
    result = evaluate(crystals, known_crystals[:4], workers=2)
    table = result.table
    assert len(table) == len(crystals) == 7
    for metric in ("structure_valid", "composition_valid", "unique", "novel", "P1@0.1"):
        assert result.summary.loc[metric, "n"] == 7
    assert table["structure_valid"].tolist() == [True, False, False, False, False, False, True]
    assert table["unique"].tolist()[:4] == [True, False, False, False]
    assert table["duplicate_of"].tolist()[6] == "0"
    assert "disordered" in table["error"][1]
    assert "not finite" in table["error"][2]
    assert "no structure" in table["error"][3]
    assert "no volume" in table["error"][5]
    assert table["error"][[0, 6]].isna().all()
    assert table["min_distance"][4] < 0.5
    assert result.value("structure_valid") == pytest.approx(2 / 7)


def test_a_broken_cif_keeps_its_place(known_crystals, tmp_path):
    for i in range(3):
        known_crystals[i].to(filename=str(tmp_path / f"{i}.cif"))
    text = (tmp_path / "1.cif").read_text()
    (tmp_path / "1.cif").write_text(text[: len(text) // 3])
    found = read_crystals(tmp_path)
    assert found.ids == ["0", "1", "2"]
    assert [crystal is None for crystal in found.crystals] == [False, True, False]
    assert "cannot be read" in found.errors[1]


def test_ids_that_occur_twice_are_told_apart(known_crystals, tmp_path):
    dictionaries = [{**c.as_dict(), "id": "same"} for c in known_crystals[:3]]
    (tmp_path / "c.json").write_text(json.dumps(dictionaries))
    result = evaluate(tmp_path / "c.json", metrics=("validity",), workers=1)
    assert result.table["id"].tolist() == ["same", "same#2", "same#3"]
    assert "2 ids came more than once (same) and got a suffix (#2, #3, ...)." in result.notes
    assert any("more than once" in note for note in result.notes)


def test_one_crystal_is_enough(known_crystals):
    result = evaluate(known_crystals[0], known_crystals[0], workers=1)
    assert result.value("novel") == 0.0
    assert result.summary.loc["unique", "n"] == 1


def test_input_that_holds_nothing_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match="empty"):
        evaluate([])
    with pytest.raises(EvaluationError, match="no file or folder"):
        evaluate(tmp_path / "missing")
    with pytest.raises(EvaluationError, match="holds no crystals"):
        evaluate(tmp_path)
    (tmp_path / "cut.json").write_text('[{"lattice": ')
    with pytest.raises(EvaluationError, match="cut short or not json"):
        evaluate(tmp_path / "cut.json")
    with pytest.raises(EvaluationError, match="type int"):
        evaluate(3)
    sodium = [Structure(Lattice.cubic(3), ["Na"], [[0, 0, 0]])]
    with pytest.raises(EvaluationError, match="reference set"):
        evaluate(sodium, [None])
    for values in (["x"], [1.0, 2.0]):
        with pytest.raises(EvaluationError, match="'hardness' must be a list of 1 numbers"):
            evaluate(sodium, sodium, properties={"hardness": values})
    with pytest.raises(EvaluationError, match="There is no metric 'valid'"):
        evaluate(sodium, metrics="valid")


def test_a_disordered_cif_is_a_row_with_a_reason(known_crystals, tmp_path):
    disordered = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    disordered.to(filename=str(tmp_path / "alloy.cif"))
    known_crystals[2].to(filename=str(tmp_path / "salt.cif"))
    result = evaluate(tmp_path, known_crystals[:4], workers=1)
    assert result.table["id"].tolist() == ["alloy", "salt"]
    assert result.table["valid"].tolist() == [False, True]
    assert "disordered" in result.table["error"][0]
    assert result.summary.loc["valid", "n"] == 2


def test_an_element_that_the_potential_lacks_is_a_reason(tmp_path):
    californium = Structure(Lattice.cubic(5), ["Cf"], [[0, 0, 0]])
    result = evaluate([californium], metrics=("validity",), relax_dir=tmp_path, workers=1)
    assert "does not know Cf" in result.table["error"][0]
    assert np.isnan(result.table["e_above_hull"][0])
    # Undefined is not stable, and stays in the denominator.
    assert result.summary.loc["stable@0.1", ["count", "n"]].tolist() == [0, 1]


def test_a_reference_set_without_energies_leaves_them_undefined(known_crystals):
    with pytest.raises(EvaluationError, match="no label 'e_above_hull'"):
        build(known_crystals[:3])
    energies = {"formation_energy_per_atom": [-1.0, -2.0]}
    reference = Reference(known_crystals[:5])
    result = evaluate(known_crystals[:2], reference, properties=energies, workers=1)
    assert "wasserstein formation_energy_per_atom" not in result.summary.index
    assert any("has no 'formation_energy_per_atom'" in note for note in result.notes)
    reference.crystals.labels = {"formation_energy_per_atom": np.full(5, np.nan)}
    result = evaluate(known_crystals[:2], reference, properties=energies, workers=1)
    assert np.isnan(result.value("wasserstein formation_energy_per_atom"))
