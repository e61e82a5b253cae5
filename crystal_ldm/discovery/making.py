"""The candidates of a round, as the model makes them and the filters see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.discovery.goal import Goal
from crystal_ldm.discovery.ranking import STAGES, Candidate
from crystal_ldm.files.writing import atomic_write_json
from crystal_ldm.runs.generate import generate
from crystal_ldm.runs.sample_run import SampleRun, read_crystals_of

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule


def make_round(
    ldm: LDMModule, goal: Goal, number: int, path: Path, keywords: dict[str, Any]
) -> list[Candidate]:
    """Return the candidates of a round, with whether they passed the filters.

    Args:
        ldm: the model.
        goal: what is looked for.
        number: of the round; with the seed all that its candidates depend on.
        path: of the run; the round is a run of crystals of its own below it, which is continued.
        keywords: those of `LDMModule.sample`.
    """
    request, per_row, offset = goal.request(ldm, number, keywords["seed"])
    folder = path / "rounds" / f"{number:04d}"
    run = generate(ldm, request, folder, per_row, progress=False, offset=offset, **keywords)
    pairs = [(line, Cell.from_structure(s)) for line, s in read_crystals_of(folder)]
    pairs.sort(key=lambda pair: (int(pair[0]["row"]), int(pair[0]["number"])))
    passed = _failed_filters(ldm, run, [line for line, _ in pairs], [cell for _, cell in pairs])
    candidates = []
    for (line, cell), failed in zip(pairs, passed, strict=True):
        candidate = Candidate(line["id"], cell)
        if failed:
            candidate.reason = f"filter {failed}"
        else:
            candidate.stage = STAGES[1]
        candidates.append(candidate)
    return candidates


def _failed_filters(
    ldm: LDMModule, run: SampleRun, lines: list[dict[str, str]], cells: list[Cell]
) -> list[str]:
    """Return the name of the first filter that each fails (empty: none), kept for the next call."""
    file = run.path / "filtered.json"
    ids = [line["id"] for line in lines]
    try:
        known: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return [known[name] for name in ids]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    targets = {
        name.removeprefix("target_"): [float(line[name]) if line[name] else None for line in lines]
        for name in lines[0]
        if name.startswith("target_")
    }
    crystals = CrystalBatch.from_structures(
        [cell.to_structure() for cell in cells], targets, canonical=False
    )
    failed = [""] * len(lines)
    for one in run.order.settings.filters:
        left = [i for i, name in enumerate(failed) if not name]
        if not left:
            break
        right = one.passes(ldm, crystals[left])
        for i, passes in zip(left, right.tolist(), strict=True):
            failed[i] = "" if passes else one.kind
    atomic_write_json(file, dict(zip(ids, failed, strict=True)))
    return failed
