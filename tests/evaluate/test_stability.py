"""Relaxation, hull and S.U.N. rates; a killed run resumes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.errors import EvaluationError, RunError
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.stability import (
    ReferenceHull,
    RelaxationSettings,
    compute_stability,
    relax_crystals,
)
from crystal_ldm.evaluate.stability.potential import single_point
from crystal_ldm.evaluate.stability.reference import (
    ReferenceEnergies,
    elemental_structure,
)
from crystal_ldm.evaluate.stability.relaxation import displacement, load_relaxed, relax_crystal
from crystal_ldm.parallel import WorkerPool, Workers


def _key(formula: str):
    counts = {element.Z: int(count) for element, count in Composition(formula).items()}
    divisor = math.gcd(*counts.values())
    return tuple(sorted((z, count // divisor) for z, count in counts.items()))


def _hull(**energies: float) -> ReferenceHull:
    keys = {_key(formula): energy for formula, energy in energies.items()}
    return ReferenceHull(ReferenceEnergies(keys, dict.fromkeys(keys, "x"), "chgnet-0.3.0"))


def test_the_hull_of_a_binary_is_the_tie_line():
    hull = _hull(Na=0.0, Cl=0.0, NaCl=-2.0)
    assert hull.distance(_key("NaCl"), -1.9).e_above_hull == pytest.approx(0.1)
    assert hull.distance(_key("NaCl"), -2.3).e_above_hull == pytest.approx(-0.3)
    # Na3Cl lies half way between Na and NaCl, counted in atoms: -2 * 2/4.
    found = hull.distance(_key("Na3Cl"), -0.7)
    assert found.e_above_hull == pytest.approx(0.3)
    assert found.products == {"Na": pytest.approx(0.5), "NaCl": pytest.approx(0.5)}


def test_a_phase_diagram_takes_generated_crystals_in():
    hull, elements = _hull(Na=0.0, Cl=0.0, NaCl=-2.0), frozenset({11, 17})
    inside = [("made", _key("NaCl"), -2.1), ("without energy", _key("Na"), math.nan)]
    diagram = hull.diagram_with(elements, [*inside, ("elsewhere", _key("KCl"), -9.0)])
    assert sorted(e.name for e in diagram.all_entries) == ["Cl2", "Na", "NaCl", "made"]
    assert {e.name for e in diagram.stable_entries} == {"Cl2", "Na", "made"}
    # The references alone are as they were.
    assert hull.distance(_key("NaCl"), -2.0).e_above_hull == pytest.approx(0.0)
    assert hull.missing(elements) == "" and hull.missing({11, 9, 19}) == "F, K"


def test_energies_of_the_elements_shift_out_of_the_distance():
    plain, shifted = _hull(Na=0.0, Cl=0.0, NaCl=-2.0), _hull(Na=-1.3, Cl=-1.8, NaCl=-2 - 1.55)
    a = plain.distance(_key("NaCl2"), -1.0).e_above_hull
    b = shifted.distance(_key("NaCl2"), -1.0 - (1.3 + 2 * 1.8) / 3).e_above_hull
    assert a == pytest.approx(b)


def test_an_element_without_reference_makes_the_distance_undefined():
    found = _hull(Na=0.0, NaCl=-2.0).distance(_key("NaCl"), -2.0)
    assert np.isnan(found.e_above_hull)
    assert found.error == "undefined: no reference energy of Cl"
    assert np.isnan(_hull(Na=0.0).distance(_key("Na"), np.nan).e_above_hull)


def test_the_table_survives_writing_and_reading(tmp_path):
    keys = {_key("Na"): -1.25, _key("NaCl"): -3.4, _key("Na2SO4"): -5.0}
    table = ReferenceEnergies(keys, dict.fromkeys(keys, "a"), "chgnet-0.3.0")
    table.write(tmp_path / "t.csv.gz")
    table.write(tmp_path / "u.csv.gz")
    assert (tmp_path / "t.csv.gz").read_bytes() == (tmp_path / "u.csv.gz").read_bytes()
    back = ReferenceEnergies.read(tmp_path / "t.csv.gz")
    assert back.by_formula == keys
    assert {key for key, _ in back.within(frozenset({11, 17}))} == {_key("Na"), _key("NaCl")}
    (tmp_path / "t.csv.gz").write_bytes((tmp_path / "t.csv.gz").read_bytes()[:30])
    with pytest.raises(EvaluationError, match="missing or broken"):
        ReferenceEnergies.read(tmp_path / "t.csv.gz")


@pytest.mark.parametrize(
    ("symbol", "z", "atoms", "volume"),
    [("Cs", 55, 1, 113), ("Pb", 82, 1, 30), ("Hf", 72, 2, 22), ("Mn", 25, 29, 12.2),
     ("U", 92, 2, 20.7), ("Pm", 61, 4, 33.6)],
)  # fmt: skip
def test_elements_that_the_data_lacks_have_their_structure(symbol, z, atoms, volume):
    crystal = elemental_structure(z)
    assert crystal.formula == symbol
    assert len(crystal.numbers) == atoms
    assert crystal.volume / atoms == pytest.approx(volume, rel=0.05)


def test_an_element_of_unknown_structure_has_none():
    assert elemental_structure(34) is None  # selenium: ASE's table has no atomic positions


def test_displacement_takes_out_translation_and_periodicity():
    cell = np.eye(3) * 4
    start = Cell.from_arrays([11, 17], [[0.05, 0, 0], [0.5, 0.5, 0.5]], cell)
    same = Cell.from_arrays([11, 17], [[0.95, 0.9, 0], [0.4, 0.4, 0.5]], cell)
    assert displacement(start, same) == pytest.approx(0, abs=1e-12)
    moved = Cell.from_arrays([11, 17], [[0.05, 0, 0], [0.5, 0.5, 0.6]], cell)
    assert displacement(start, moved) == pytest.approx(0.2)  # 0.4 Å shared by two atoms


def _salt(a: float = 5.69, shift: float = 0.0) -> Structure:
    cell = Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]])
    return Structure(cell, ["Na", "Cl"], [[0, 0, 0], [0.5 + shift, 0.5, 0.5]])


def test_relaxation_finds_the_same_crystal_from_different_starts():
    settings = RelaxationSettings(fmax=0.02)
    first = relax_crystal(Cell.from_structure(_salt()), settings)
    second = relax_crystal(Cell.from_structure(_salt(5.3, 0.04)), settings)
    assert first.converged
    assert second.converged
    assert first.energy == pytest.approx(second.energy, abs=2e-3)
    assert first.crystal.volume == pytest.approx(second.crystal.volume, rel=0.01)
    assert second.energy < second.energy_before
    assert second.rmsd > 0.05
    assert abs(first.volume_change) < 0.05


def test_what_cannot_be_relaxed_has_a_reason(tmp_path):
    californium = Structure(Lattice.cubic(5), ["Cf"], [[0, 0, 0]])
    crowded = Structure(Lattice.cubic(1.0), ["Na"], [[0, 0, 0]])
    disordered = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    hull = _hull(Na=-1.3, Cl=-1.8)
    found = compute_stability([californium, crowded, disordered], tmp_path, hull=hull, workers=1)
    reasons = found.table["error"].tolist()
    assert "does not know Cf" in reasons[0]
    assert "too crowded to be relaxed: under 2 Å³ an atom" in reasons[1]
    assert "disordered" in reasons[2]
    assert found.rates()["n"].tolist() == [3, 3]
    assert found.rates()["count"].tolist() == [0, 0]
    assert list(tmp_path.iterdir()) == []  # failures are tried again


def test_results_are_kept_and_not_computed_twice(tmp_path):
    crystals = [Cell.from_structure(_salt(a)) for a in (5.6, 5.7, 5.6)]
    settings = RelaxationSettings(fmax=0.1)
    with WorkerPool(Workers(1, memory_gb=6)) as pool:
        first, _ = relax_crystals(crystals, tmp_path, settings, pool)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2  # the third is the first
    times = [file.stat().st_mtime_ns for file in files]

    class NoExecutor(WorkerPool):
        def _start(self):
            raise AssertionError("nothing is left to compute")

    second, errors = relax_crystals(crystals, tmp_path, settings, NoExecutor(Workers(1)))
    assert [file.stat().st_mtime_ns for file in files] == times
    assert errors == [None] * 3
    assert [r.energy for r in second] == [r.energy for r in first]
    assert [r.crystal for r in second] == [r.crystal for r in first]
    # A file that is cut short is not a result, and other settings are another question.
    files[0].write_text(files[0].read_text()[:50])
    assert load_relaxed(files[0]) is None


def test_a_killed_run_resumes_without_repeating(tmp_path):
    script = textwrap.dedent(f"""
        from pymatgen.core import Lattice, Structure
        from crystal_ldm.evaluate.stability import RelaxationSettings, relax_crystals
        from crystal_ldm.crystals.cell import Cell
        from crystal_ldm.parallel import WorkerPool, Workers

        def salt(a):
            cell = Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]])
            return Structure(cell, ["Na", "Cl"], [[0, 0, 0], [0.55, 0.5, 0.5]])

        crystals = [Cell.from_structure(salt(5.4 + 0.01 * i)) for i in range(4)]
        with WorkerPool(Workers(1, memory_gb=6)) as pool:
            settings = RelaxationSettings(fmax=0.1)
            done, _ = relax_crystals(crystals, {str(tmp_path)!r}, settings, pool)
        print(sum(result is not None for result in done))
    """)
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while len(list(tmp_path.glob("[!.]*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    run.kill()
    run.wait()
    kept = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("[!.]*.json")}
    assert 2 <= len(kept) < 4
    for name in kept:
        assert json.loads((tmp_path / name).read_text())["converged"]
    again = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert again.stdout.strip() == "4"
    for name, changed in kept.items():
        assert (tmp_path / name).stat().st_mtime_ns == changed


def test_stability_is_part_of_an_evaluation(tmp_path):
    salt = _salt()
    with WorkerPool(Workers(1, memory_gb=6)) as pool:
        hull_energy = relax_crystals(
            [Cell.from_structure(salt)], tmp_path / "kept", RelaxationSettings(), pool
        )[0][0].energy
    hull = _hull(Na=-1.3, Cl=-1.8, NaCl=hull_energy)
    found = compute_stability([salt, _salt(5.4)], tmp_path / "kept", hull=hull, workers=1)
    assert found.table["e_above_hull"].abs().max() < 5e-3
    rates = found.rates([True, False], [True, True], (0.01,)).set_index("metric")
    assert rates.loc["stable", "value"] == 1.0
    assert rates.loc["S.U.N.", "value"] == 0.5
    assert found.table["converged"].all()


def test_the_second_opinion_works_or_says_what_to_install():
    crystal = Cell.from_structure(_salt())
    if find_spec("sevenn") is None:
        with pytest.raises(EvaluationError, match=r"optional package 'sevenn'.*pip install"):
            single_point(crystal, "sevennet")
    else:
        assert single_point(crystal, "sevennet") == pytest.approx(-3.384, abs=2e-3)
    polonium = Cell.from_structure(Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]]))
    with pytest.raises(EvaluationError, match="does not know Po"):
        single_point(polonium, "sevennet")


@pytest.mark.parametrize("settings", [{"fmax": 0}, {"max_steps": 0}, {"potential": "chgnett"}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(EvaluationError):
        RelaxationSettings(**settings)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=str(tmp_path / "file")):
        compute_stability([_salt()], tmp_path / "file", hull=_hull(Na=0.0), workers=1)
    assert os.path.isfile(tmp_path / "file")
    with pytest.raises(EvaluationError, match="potential"):
        evaluate([_salt()], relax_dir=tmp_path, relaxation=RelaxationSettings("x"))
