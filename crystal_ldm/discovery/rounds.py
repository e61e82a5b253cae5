"""A round's two ends: the candidates that a model makes, and whether relaxed ones meet the goal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.cell import Cell, FormulaKey
from crystal_ldm.crystals.symmetry.space_groups import group_symbol
from crystal_ldm.discovery.goal import Goal
from crystal_ldm.discovery.ranking import STAGES, Candidate
from crystal_ldm.files.run_directory import read_object
from crystal_ldm.files.writing import atomic_write_json
from crystal_ldm.runs.generate import generate, silent_order
from crystal_ldm.runs.sample_run import SampleRun, read_crystals_of
from crystal_ldm.sampling.filters.base import passed_filters

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule


def round_folder(path: Path, number: int) -> Path:
    """Return where a run keeps a round, which is there once the round has begun."""
    return path / "rounds" / f"{number:04d}"


def check_rounds(ldm: LDMModule, goal: Goal, count: int, keywords: dict[str, Any]) -> None:
    """Refuse a goal whose rounds, `count` of them, the model cannot make; see `make_round`.

    Raises:
        FormulaError, RequestError: see `LDMModule.sample`.
    """
    for number in range(min(count, max(1, len(goal.formula_units)))):
        request, per_row, offset = goal.request(ldm, number, keywords["seed"])
        silent_order(ldm, request, per_row, {**keywords, "offset": offset})


def make_round(
    ldm: LDMModule, goal: Goal, number: int, path: Path, keywords: dict[str, Any]
) -> list[Candidate]:
    """Return the candidates of a round, with whether they passed the filters.

    Args:
        number: of the round; with the seed all that its candidates depend on.
        path: of the run; the round is a run of crystals of its own below it, which is continued.
        keywords: those of `LDMModule.sample`.
    """
    request, per_row, offset = goal.request(ldm, number, keywords["seed"])
    folder = round_folder(path, number)
    run = generate(ldm, request, folder, per_row, progress=False, offset=offset, **keywords)
    pairs = [(line, Cell.from_structure(s)) for line, s in read_crystals_of(folder)]
    pairs.sort(key=lambda pair: (int(pair[0]["row"]), int(pair[0]["number"])))
    passed = _failed_filters(ldm, run, [line for line, _ in pairs], [cell for _, cell in pairs])
    candidates = []
    for (line, cell), failed in zip(pairs, passed, strict=True):
        reason = f"filter {failed}" if failed else ""
        candidates.append(Candidate(line["id"], cell, STAGES[not failed], reason))
    return candidates


def _failed_filters(
    ldm: LDMModule, run: SampleRun, lines: list[dict[str, str]], cells: list[Cell]
) -> list[str]:
    """Return the name of the first filter that each fails (empty: none), kept for the next call."""
    file, ids = run.path / "filtered.json", [line["id"] for line in lines]
    kept = read_object(file)
    if not kept.keys() >= set(ids):
        targets = {
            name.removeprefix("target_"): [
                float(line[name]) if line[name] else None for line in lines
            ]
            for name in lines[0]
            if name.startswith("target_")
        }
        structures = [cell.to_structure() for cell in cells]
        crystals = CrystalBatch.from_structures(structures, targets, canonical=False)
        passed = passed_filters(ldm, run.order.settings.filters, crystals)
        kept = {
            name: next((kind for kind, right in passed.items() if not right[i]), "")
            for i, name in enumerate(ids)
        }
        atomic_write_json(file, kept)
    return [str(kept[name]) for name in ids]


def keep_what_meets(goal: Goal, candidates: list[Candidate]) -> None:
    """Let those on to the last stage that are as asked for; what was kept may have to go.

    Args:
        candidates: of all rounds; those that are relaxed and unique are judged.
    """
    lowest: dict[FormulaKey, float] = {}
    for candidate in candidates:
        if candidate.first is not None:
            key, distance = candidate.made.formula_key, candidate.first.e_above_hull
            lowest[key] = min(distance, lowest.get(key, distance))
    for candidate in candidates:
        if candidate.stage in STAGES[-2:]:
            candidate.reason = _missed(goal, candidate, lowest[candidate.made.formula_key])
            candidate.stage = STAGES[-2] if candidate.reason else STAGES[-1]


def _missed(goal: Goal, candidate: Candidate, lowest: float) -> str:
    """Return what a relaxed crystal misses of the goal, see `Candidate.reason`; empty: nothing."""
    assert candidate.first is not None
    distance, limit = candidate.first.e_above_hull, goal.max_hull_distance
    if not math.isfinite(distance):
        return f"no hull distance: {candidate.first.error}"
    if distance > limit:
        return f"above the hull: {distance:.3f} eV/atom"
    if distance - lowest > limit:
        return f"above another candidate of its formula: {distance - lowest:.3f} eV/atom"
    if candidate.novelty.kind == "known":
        return f"relaxed into a known crystal: {candidate.novelty.of}"
    if not goal.has_gap(gap := candidate.band_gap):
        return f"band gap: {f'{gap:.2f} eV' if math.isfinite(gap) else 'it is not known'}"
    if goal.space_group not in (None, group := candidate.space_group):
        return f"space group: {'it was not found' if group is None else group_symbol(group)}"
    return ""
