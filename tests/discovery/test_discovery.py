"""Searches for compounds: real candidates, relaxed in a few steps, stopped and continued."""

from __future__ import annotations

import csv
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals import CrystalBatch, ElementRules
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.discovery import Discovery, Goal, Novelty, discover
from crystal_ldm.discovery.novelty import novelty_of
from crystal_ldm.discovery.ranking import COLUMNS, STAGES, Candidate
from crystal_ldm.discovery.rounds import keep_what_meets
from crystal_ldm.discovery.search import Search
from crystal_ldm.discovery.second_opinion import SecondOpinion, why_not
from crystal_ldm.errors import EvaluationError, FormulaError, RequestError, RunError
from crystal_ldm.evaluate.stability import ReferenceHull, RelaxationSettings
from crystal_ldm.evaluate.stability.hull import HullDistance
from crystal_ldm.evaluate.stability.reference import ReferenceEnergies
from crystal_ldm.evaluate.stability.relaxation import LATE, Relaxed
from crystal_ldm.files import open_run
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.parallel import Workers, open_executor
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.sampling import NumElements

QUICK = RelaxationSettings(fmax=0.5, max_steps=5)
HERE = Workers(here=True)


@pytest.fixture(scope="module")
def ldm() -> Any:
    return load_pretrained()


def search(ldm: Any, folder: Path, goal: Goal, **changes: Any) -> Discovery:
    how: dict[str, Any] = {
        "num_candidates": 6, "max_minutes": 5, "predictor": "own", "second_opinions": 0,
        "relaxation": QUICK, "workers": HERE, "say": None,
    }  # fmt: skip
    return discover(ldm, goal, folder, **{**how, **changes})


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.glob(pattern))}


def rocksalt(first: str, second: str, length: float) -> Structure:
    sites = [[0, 0, 0], [0.5] * 3]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), [first, second], sites)


def test_a_search_leaves_a_ranked_list_and_goes_on_where_it_was(ldm: Any, tmp_path: Path) -> None:
    goal = Goal.make(formula="Na?", max_hull_distance=3.0, forbidden=["U"])
    found = search(ldm, tmp_path, goal)
    counts = list(found.funnel().values())
    assert counts[0] == 6 and counts == sorted(counts, reverse=True) and found.complete
    rows = list(csv.DictReader((tmp_path / "table.csv").open(encoding="utf-8")))
    assert len(rows) == counts[-1] > 0
    distances = [float(row["e_above_hull_chgnet"]) for row in rows]
    assert distances == sorted(distances) and distances[-1] <= 3.0
    for row in rows:
        structure = Structure.from_file(tmp_path / row["cif"])
        assert structure.composition.reduced_formula == row["formula"]
        assert "Na" in structure.symbol_set and "U" not in structure.symbol_set
        assert row["novelty"] in ("elements exchanged", "known prototype", "new")
        assert row["decomposes_to"] and float(row["band_gap"]) >= 0
        lines = (tmp_path / row["xrd"]).read_text().splitlines()
        assert max(float(line.split(",")[1]) for line in lines[1:]) == 100
    everything = list(csv.DictReader((tmp_path / "candidates.csv").open(encoding="utf-8")))
    assert [row["came_to"] for row in everything].count("kept") == len(rows)
    assert all(row["reason"] for row in everything if row["came_to"] != "kept")
    funnel = list(csv.DictReader((tmp_path / "funnel.csv").open(encoding="utf-8")))
    assert [int(row["count"]) for row in funnel] == counts

    # What is there is not done again; what a kill took away is done again, to the same result.
    table = (tmp_path / "table.csv").read_bytes()
    relaxed = sorted((tmp_path / "relaxed").glob("[!.]*.json"))
    before = {file: file.stat().st_mtime_ns for file in relaxed}
    relaxed[0].unlink()
    next((tmp_path / "judged").glob("*.json")).unlink()
    (tmp_path / "table.csv").unlink()
    again = search(ldm, tmp_path, goal)
    assert again.funnel() == found.funnel() and (tmp_path / "table.csv").read_bytes() == table
    assert all(file.stat().st_mtime_ns == before[file] for file in relaxed[1:])
    assert relaxed[0].is_file()

    # More candidates continue the same run; another goal is refused.
    crystals = contents(tmp_path, "rounds/*/cif/*.cif")
    more = search(ldm, tmp_path, goal, num_candidates=8)
    assert more.funnel()["made"] == 8
    assert [c.id for c in more.candidates[:6]] == [c.id for c in found.candidates]
    assert contents(tmp_path, "rounds/*/cif/*.cif") == crystals
    with pytest.raises(RunError, match=r"formula was \"Na\?\" and is now \"K\?\""):
        search(ldm, tmp_path, Goal.make(formula="K?", max_hull_distance=3.0, forbidden=["U"]))


def test_what_is_there_is_listed_whatever_the_time_and_a_call_relaxes_one_at_least(
    ldm: Any, tmp_path: Path
) -> None:
    goal = Goal.make(formula="Na?", max_hull_distance=3.0)
    how: dict[str, Any] = {"num_candidates": 33, "relaxed_share": 0.03}
    found = search(ldm, tmp_path / "rounds", goal, **how)
    at_once = search(ldm, tmp_path / "rounds", goal, max_minutes=1e-6, **how)
    assert found.complete and at_once.complete and at_once.rows() == found.rows()
    assert len(at_once.candidates) == 33

    late = search(ldm, tmp_path / "late", goal, relaxed_share=1, max_minutes=1e-6)
    waiting = [c for c in late.candidates if c.reason == LATE]
    assert late.funnel()["relaxed"] == 1 and waiting and not late.complete
    assert f"6 of 6 candidates were made, and {len(waiting)} of them wait" in late.notes[-1]
    whole = search(ldm, tmp_path / "late", goal, relaxed_share=1, max_minutes=math.inf)
    assert whole.complete and whole.funnel()["relaxed"] == 1 + len(waiting)


def test_elements_without_reference_are_not_relaxed(ldm: Any, tmp_path: Path) -> None:
    """Of what every candidate has it is said at once; of open atoms before they are relaxed."""
    goal = Goal.make(formula="Po?")
    with pytest.raises(RequestError, match="Nothing with Po can be looked for: chgnet has no"):
        search(ldm, tmp_path / "run", goal)
    assert not os.listdir(tmp_path)
    energies = ReferenceEnergies.shipped()
    known = {k: e for k, e in energies.by_formula.items() if k != ((17, 1),)}
    hull = ReferenceHull(ReferenceEnergies(known, energies.ids, energies.potential))
    cells = [Cell.from_structure(rocksalt("Na", x, 5.6)) for x in ("Cl", "F")]
    candidates = [Candidate(c.formula, c, "unique") for c in cells]
    with open_executor(HERE) as executor, open_run(str(tmp_path / "one"), "test", {}) as run:
        one = Search(ldm, goal, run, executor, hull, QUICK, 1.0, "", {}, None)
        one._screen(candidates, 0, 2)
    assert [c.stage for c in candidates] == ["unique", "screened"]
    assert candidates[0].reason == "no hull: there is no reference energy of Cl"


def test_what_has_no_energy_before_relaxation_is_not_said_to_lie_higher(
    ldm: Any, tmp_path: Path
) -> None:
    cells = [Cell.from_structure(rocksalt("Na", x, 5.6)) for x in ("F", "Br")]
    candidates = [Candidate(c.formula, c, "unique") for c in cells]
    hull, goal = ReferenceHull(ReferenceEnergies.shipped()), Goal.make(formula="Na?")
    with open_executor(HERE) as executor, open_run(str(tmp_path / "one"), "test", {}) as run:
        file = run.path / "rounds" / "0000" / "screened.json"
        file.parent.mkdir(parents=True)
        file.write_text('{"NaF": NaN, "NaBr": -3.0}')
        Search(ldm, goal, run, executor, hull, QUICK, 0.5, "", {}, None)._screen(candidates, 0, 2)
    assert [c.stage for c in candidates] == ["unique", "screened"]
    assert candidates[0].reason.endswith(": its energy before relaxation could not be computed")


def test_what_lies_lowest_before_relaxation_is_relaxed(ldm: Any, tmp_path: Path) -> None:
    goal = Goal.make(formula="Rb?", max_hull_distance=3.0)
    found = search(ldm, tmp_path, goal, num_candidates=8)
    unique = [c for c in found.candidates if c.stage not in ("made", "filtered")]
    out = [c for c in unique if c.reason.startswith("screened out: ")]
    went_on = [c for c in unique if c not in out]
    assert len(went_on) == min(4, len(unique)) and {c.stage for c in out} <= {"unique"}
    assert all(c.relaxed is not None for c in went_on)
    assert max(c.before for c in went_on) <= min((c.before for c in out), default=math.inf)
    for candidate in went_on:
        assert candidate.first is not None and candidate.relaxed is not None
        change = candidate.relaxed.energy_before - candidate.relaxed.energy
        assert candidate.before - candidate.first.e_above_hull == pytest.approx(change, abs=1e-4)
    funnel = found.funnel()
    assert funnel["unique"] - funnel["screened"] == len(out)
    lines = list(csv.DictReader((tmp_path / "candidates.csv").open(encoding="utf-8")))
    screened = {line["id"] for line in lines if line["e_above_hull_before"]}
    assert len(lines) == 8 and screened == {c.id for c in unique}
    # What was relaxed in a round that was cut short stays when the round is made whole.
    more = search(ldm, tmp_path, goal, num_candidates=12)
    relaxed = {c.id for c in more.candidates if c.relaxed is not None}
    assert {c.id for c in went_on} <= relaxed
    every = search(ldm, tmp_path / "all", goal, num_candidates=8, relaxed_share=1)
    assert every.funnel()["screened"] == every.funnel()["unique"] == len(unique)
    with pytest.raises(RunError, match=r"relaxed_share was 0\.5 and is now 1"):
        search(ldm, tmp_path, goal, num_candidates=8, relaxed_share=1)


def test_a_search_without_time_leaves_what_it_has_and_says_so(ldm: Any, tmp_path: Path) -> None:
    goal = Goal.make(system="Na-Cl", max_hull_distance=3.0)
    found = search(ldm, tmp_path, goal, num_candidates=40, max_minutes=1e-6, predictor="")
    assert not found.complete and "Run the same again" in found.notes[-1]
    assert 0 < found.funnel()["made"] < 40
    assert (tmp_path / "table.csv").is_file()
    for candidate in found.candidates:
        assert candidate.made.to_structure().symbol_set == ("Cl", "Na")
        assert math.isnan(candidate.band_gap)
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["state"] == "finished"


def test_targets_are_met_by_all_that_is_kept(ldm: Any, tmp_path: Path) -> None:
    goal = Goal.make(formula="Na?", band_gap=[2.0, 9.0], space_group="Fm-3m", max_hull_distance=3)
    found = search(ldm, tmp_path, goal, num_candidates=4)
    assert found.funnel()["made"] == 4
    for candidate in found.kept:
        assert 2.0 <= candidate.band_gap <= 9.0 and candidate.space_group == 225


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ({"system": "Li-O", "formula": "LiO"}, RequestError, "not both"),
        ({"system": "Li-?"}, RequestError, "num_elements"),
        ({"required": "O, Xx"}, FormulaError, "Xx"),
        ({"num_elements": [3, 2]}, RequestError, "fewest, most"),
        ({"num_elements": [1, 2, 3]}, RequestError, "fewest, most"),
        ({"required": "O,Ti,Sr", "num_elements": 2}, RequestError, "3 elements are required"),
        ({"system": "Li-O", "num_elements": 2}, RequestError, "names its elements"),
        ({"system": ["Li", "O"]}, RequestError, "text such as Li-Fe-O"),
        ({"formula": "SrTiO3", "num_elements": 2}, RequestError, "3 elements are required"),
        ({"formula": "Sr?O3", "num_elements": [4, 5]}, RequestError, "3 different elements"),
        ({"allowed": "O,Ti", "num_elements": 3}, RequestError, "2 different elements"),
        ({"formula": "LiO", "band_gap": "wide"}, RequestError, "'wide'"),
        ({"formula": "LiO", "band_gap": [1, "x"]}, RequestError, "low, high"),
        ({"formula": "LiO", "band_gap": math.nan}, RequestError, "nan"),
        ({"formula": "LiO", "band_gap": True}, RequestError, "True"),
        ({"formula": "LiO", "max_hull_distance": "near"}, RequestError, "'near'"),
        ({"system": "Li-Xx"}, FormulaError, "Xx"),
        ({"formula": "sr?o3"}, FormulaError, "cannot be read"),
        ({"formula": "LiO", "band_gap": [3, 1]}, RequestError, "low, high"),
        ({"formula": "LiO", "max_hull_distance": -1}, RequestError, "0 or more"),
        ({"formula": "LiO", "space_group": 231}, RequestError, "231"),
        ({"formula": "Li?", "num_atoms": 4}, RequestError, "formula_units"),
        ({"formula": "Li?", "formula_units": 0}, RequestError, "above 0"),
        ({"formula": "Li?", "required": ["O"], "allowed": ["F"]}, FormulaError, "not among"),
        ({"system": "Li-O", "forbidden": ["O"]}, RequestError, "are for a formula"),
    ],
)
def test_a_goal_that_is_none_is_refused(words: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Goal.make(**words)


def test_budgets_and_predictors_that_are_none_are_refused(ldm: Any, tmp_path: Path) -> None:
    goal = Goal.make(system="Na-Cl")
    for changes in ({"num_candidates": 0}, {"max_minutes": 0}, {"second_opinions": -1}):
        with pytest.raises(RequestError, match="at least one candidate"):
            search(ldm, tmp_path / "run", goal, **changes)
    for share in (0, 1.1):
        with pytest.raises(RequestError, match=f"at most 1, not {share}"):
            search(ldm, tmp_path / "run", goal, relaxed_share=share)
    with pytest.raises(EvaluationError, match="Did you mean 'cgcnn'"):
        search(ldm, tmp_path / "run", goal, predictor="cgcn")
    with pytest.raises(RequestError, match="needs a predictor"):
        search(ldm, tmp_path / "run", Goal.make(system="Na-Cl", band_gap=2.0), predictor="")
    large = Goal.make(system="Na-Cl", num_atoms=21), Goal.make(formula="K?", formula_units=[1, 11])
    for one in large:  # no directory is left that would refuse a smaller one
        with pytest.raises(RequestError, match=r"at most 20|more than the 20"):
            search(ldm, tmp_path / "run", one, num_candidates=40)
    assert not os.listdir(tmp_path)


def test_rounds_of_a_formula_go_through_all_sizes_of_cells(ldm: Any) -> None:
    goal = Goal.make(formula="Sr?O3")
    sizes = [goal.request(ldm, number, 0)[0].num_atoms.tolist() for number in range(5)]
    assert sizes == [[5], [10], [15], [20], [5]]
    places = [goal.request(ldm, number, 0)[1:] for number in range(3)]
    assert places == [(32, 0), (32, 32), (32, 64)]
    system = Goal.make(system="Li-Fe-O")
    first, again = (system.request(ldm, 3, 7)[0] for _ in range(2))
    assert first.num_atoms.tolist() == again.num_atoms.tolist() and len(first) == 32
    assert min(first.num_atoms.tolist()) >= 3


def test_cells_and_open_atoms_are_as_asked_for(ldm: Any) -> None:
    goal = Goal.make(formula="Sr?O3", formula_units=[2, 4], required=["Ti"], allowed=["Ti", "Zr"])
    requests = [goal.request(ldm, number, 0)[0] for number in range(3)]
    assert [r.num_atoms.tolist() for r in requests] == [[10], [20], [10]]
    assert requests[0].element_rules[0].required == ElementRules.make(required="Ti").required
    assert len(requests[0].element_rules[0].allowed) == 2
    system = Goal.make(system="Li-Fe-O", num_atoms=[4, 7])
    assert set(system.request(ldm, 0, 0)[0].num_atoms.tolist()) == {4, 7}
    for size in (2, 21):
        with pytest.raises(
            RequestError, match=rf"3 or more atoms, and one of this model at most 20, not {size}\.$"
        ):
            Goal.make(system="Li-Fe-O", num_atoms=size).request(ldm, 0, 0)


def test_any_oxide_is_said_by_what_is_required(ldm: Any) -> None:
    """Without a system and a formula all elements are open; how many there are is a filter."""
    goal = Goal.make(required="O", forbidden=["U", "Pb"], num_elements=[3, 4])
    request, per_row, offset = goal.request(ldm, 2, 0)
    assert (len(request), per_row, offset) == (32, 1, 2) and min(request.num_atoms.tolist()) >= 3
    (rules,) = set(request.rules())
    assert rules == ElementRules.make(required="O", forbidden="Pb,U")
    out = ldm.sample(request[[0, 1, 2, 3]], 2, seed=1, filters=[NumElements(3, 4)], attempts=50)
    counts = {len(s.composition) for s in out.to_structures()}
    assert counts <= {3, 4} and all("O" in s.symbol_set for s in out.to_structures())
    assert goal.filters(ldm) == {"num_elements": {"fewest": 3, "most": 4}}
    assert str(goal) == (
        "any elements, required O, forbidden Pb U, 3 to 4 elements, hull distance up to 0.1 eV/atom"
    )
    assert Goal.make(required=["O"], num_elements=3).num_elements == (3, 3)
    assert str(Goal.make()).startswith("any elements, hull")
    with pytest.raises(RequestError, match="5 or more and 4 or fewer"):
        ldm.sample(request, 1, filters=[NumElements(5, 4)])


def test_kinds_of_novelty(ldm: Any) -> None:
    """A training crystal, the same with its elements exchanged, a type by name, and noise."""
    halite = TrainingCrystals()
    halite.add(CrystalBatch.from_structures([rocksalt("Na", "Cl", 5.64).get_primitive_structure()]))
    sphalerite = Structure.from_spacegroup(
        "F-43m", Lattice.cubic(5.4), ["Zn", "S"], [[0, 0, 0], [0.25] * 3]
    )
    noise = Structure(
        Lattice.from_parameters(4.1, 5.2, 6.3, 81, 95, 103),
        ["Na", "Cl", "Cl", "Cl"],
        [[0.1, 0.2, 0.3], [0.6, 0.7, 0.8], [0.15, 0.65, 0.45], [0.55, 0.25, 0.9]],
    )
    crystals = [rocksalt("Na", "Cl", 5.7), rocksalt("K", "Br", 6.6), sphalerite, noise]
    cells = [Cell.from_structure(structure) for structure in crystals]
    with open_executor(HERE) as executor:
        known, exchanged, prototype, new = novelty_of(cells, halite, executor)
        empty = novelty_of(cells[:1], TrainingCrystals(), executor)[0]
    assert (known.kind, known.of) == ("known", "NaCl")
    assert (exchanged.kind, exchanged.of) == ("elements exchanged", "NaCl (Na → K, Cl → Br)")
    assert "Halite" in exchanged.prototype and "AB_cF8_225_a_b" in exchanged.prototype
    assert prototype.kind == "known prototype" and "cF8_216" in prototype.prototype
    assert (new.kind, new.of, new.prototype) == ("new", "", "")
    assert empty.kind == "known prototype" and "Halite" in empty.prototype


def test_training_crystals_of_the_shipped_model_are_known(ldm: Any) -> None:
    cells = [
        Cell.from_structure(s) for s in ldm.training_crystals.crystals[[10, 5000]].to_structures()
    ]
    with open_executor(HERE) as executor:
        kinds = novelty_of(cells, ldm.training_crystals, executor)
    assert [one.kind for one in kinds] == ["known", "known"]
    assert [one.of for one in kinds] == [cell.formula for cell in cells]


def test_what_two_potentials_agree_on_stands_first(
    tmp_path: Path,
) -> None:
    cell = Cell.from_structure(rocksalt("Na", "Cl", 5.64))

    def candidate(name: str, first: float, second: float | None) -> Candidate:
        made = Candidate(name, cell, STAGES[-1], novelty=Novelty("new"))
        made.first = HullDistance(first, {})
        made.second = None if second is None else HullDistance(second, {})
        return made

    hull = ReferenceHull(ReferenceEnergies.shipped())
    found = Discovery(tmp_path, hull, 0.1)
    found.candidates = [
        candidate("far", -0.54, None),
        candidate("far by one", -0.05, -0.19),
        candidate("split", -0.3, 0.3),
        candidate("alone", -0.09, None),
        candidate("both", 0.05, 0.02),
    ]
    assert [one.id for one in found.kept] == ["both", "alone", "far", "far by one", "split"]
    rows = found.rows()
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    marked = ["far below the hull: most likely a competing phase" in r["caution"] for r in rows]
    assert marked == [False, False, True, True, True]


def test_what_relaxation_did_to_a_crystal_is_marked() -> None:
    cell = Cell.from_structure(rocksalt("Na", "Cl", 5.64))
    relaxed = Relaxed(-3.0, -2.9, False, 300, 0.1, 0.62, 5.0, cell)
    listed = Candidate("one", cell, STAGES[-1], relaxed=relaxed, first=HullDistance(0.01, {}))
    assert listed.caution == (
        "not converged in 300 steps; its volume changed by +62% in relaxation; whether it is known "
        "could not be found out"
    )
    listed.relaxed, listed.novelty = (
        replace(relaxed, converged=True, volume_change=0.1),
        Novelty("new"),
    )
    assert listed.caution == ""
    listed.first = HullDistance(-0.005, {"NaCl": 1.0})
    assert listed.caution == "it may be the reference of its formula, whose energy is as low"


def test_what_lies_high_above_another_form_of_its_formula_is_no_find(
    ldm: Any, tmp_path: Path
) -> None:
    """The lower one need not be kept, nor have been found first."""
    coords = [[0.1, 0.2, 0.3], [0.6, 0.7, 0.8], [0.15, 0.65, 0.45], [0.55, 0.25, 0.9]]
    candidates = []
    for name, length, distance in (("high", 4.1, 0.05), ("low", 5.9, -0.3)):
        lattice = Lattice.from_parameters(length, 5.2, 6.3, 81, 95, 103)
        cell = Cell.from_structure(Structure(lattice, ["Na", "Cl", "Cl", "Cl"], coords))
        relaxed = Relaxed(-3.0, -2.9, True, 3, 0.1, 0.0, 1.0, cell)
        first = HullDistance(distance, {"Na": 0.1, "NaCl": 0.9})
        candidates.append(Candidate(name, cell, STAGES[-2], relaxed=relaxed, first=first))
    goal = Goal.make(formula="NaCl3")
    hull = ReferenceHull(ReferenceEnergies.shipped())
    with open_executor(HERE) as executor, open_run(str(tmp_path / "run"), "test", {}) as run:
        one = Search(ldm, goal, run, executor, hull, QUICK, 1.0, "", {}, None)
        one._judge(candidates)
        # What could not be compared, as a flat cell cannot, is tried again by the next call.
        flat = Cell.from_arrays(cell.numbers, cell.frac_coords, cell.lattice * [1, 1, 0])
        one._judge([Candidate("flat", flat, STAGES[-2], relaxed=replace(relaxed, crystal=flat))])
        assert len(list((run.path / "judged").iterdir())) == len(candidates)
    keep_what_meets(goal, candidates[:1])
    assert [c.stage for c in candidates[:1]] == ["kept"]
    keep_what_meets(goal, candidates)
    assert [c.stage for c in candidates] == ["unique after relaxation", "kept"]
    assert candidates[0].reason == "above another candidate of its formula: 0.350 eV/atom"
    for goal, reason in (
        (Goal.make(formula="NaCl3", band_gap=9.0), "band gap: it is not known"),
        (Goal.make(formula="NaCl3", space_group="Fm-3m"), "space group: P1"),
    ):
        keep_what_meets(goal, candidates)
        assert candidates[1].reason == reason


def test_each_column_of_the_list_is_explained_here_and_on_its_page(repository: Path) -> None:
    cell = Cell.from_structure(rocksalt("Na", "Cl", 5.64))
    found = Discovery(Path(), ReferenceHull(ReferenceEnergies.shipped()), 0.1)
    found.candidates = [Candidate("one", cell, STAGES[-1])]
    assert list(found.rows()[0]) == list(COLUMNS)
    page = (repository / "docs" / "discovery.md").read_text(encoding="utf-8")
    for name, text in COLUMNS.items():
        assert f"| `{name}` | {text} |" in page


def test_a_search_that_is_killed_loses_nothing_that_was_relaxed(
    ldm: Any, tmp_path: Path, python: Any, until: Any
) -> None:
    folder = tmp_path / "run"
    killed = python(
        f"""
        from crystal_ldm.discovery import Goal, discover
        from crystal_ldm.evaluate.stability import RelaxationSettings
        from crystal_ldm.parallel import Workers
        from crystal_ldm.pretrained import load_pretrained

        goal = Goal.make(formula="K?", max_hull_distance=3.0)
        discover(
            load_pretrained(), goal, {str(folder)!r}, num_candidates=6, predictor="own",
            second_opinions=0, relaxation=RelaxationSettings(fmax=0.5, max_steps=5),
            workers=Workers(here=True),
        )
        """
    )
    until(lambda: len(list(folder.glob("relaxed/[!.]*.json"))) >= 2, 240)
    killed.kill()
    killed.wait()
    before = {f: f.stat().st_mtime_ns for f in folder.glob("relaxed/[!.]*.json")}
    found = search(ldm, folder, Goal.make(formula="K?", max_hull_distance=3.0))
    whole = search(ldm, tmp_path / "whole", Goal.make(formula="K?", max_hull_distance=3.0))
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    assert found.complete and found.rows() == whole.rows()


def test_crystals_are_written_as_other_benchmarks_read_them(ldm: Any, tmp_path: Path) -> None:
    from benchmarks.quality import COMMANDS, parse

    words = ["lemat", "--num", "3", "--run-dir", str(tmp_path / "run"), "--preset", "discover"]
    (row,) = COMMANDS["lemat"](ldm, parse(words))
    with Path(row["csv"]).open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    structures = [Structure.from_dict(json.loads(line["structure"])) for line in lines]
    assert len(structures) == row["crystals"] == 3
    for line, structure in zip(lines, structures, strict=True):
        assert line["material_id"].endswith(structure.composition.reduced_formula)


def test_a_second_opinion_waits_for_all_phases_and_takes_kept_ones_at_any_time(
    tmp_path: Path,
) -> None:
    hull = ReferenceHull(ReferenceEnergies.shipped())
    cell = Cell.from_structure(rocksalt("Na", "Cl", 5.64).get_primitive_structure())
    with open_executor(HERE) as executor:
        late = SecondOpinion(hull, tmp_path, QUICK, executor)
        assert late.distance(cell, in_time=lambda: False) is None and not late.notes
        if why_not():
            assert "pip install 'crystal-ldm[sevenn]'" in why_not()
            return
        asked = SecondOpinion(hull, tmp_path, QUICK, executor).distance(cell)
        assert asked is not None and abs(asked.e_above_hull) < 0.05  # it is the reference itself
        again = SecondOpinion(hull, tmp_path, QUICK, executor)
        kept = again.distance(cell, in_time=lambda: False)
    assert kept == asked
