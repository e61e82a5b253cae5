"""One search: rounds of candidates through every stage, within a budget of time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, reduced_cell
from crystal_ldm.crystals.symmetry.space_groups import space_group
from crystal_ldm.discovery.goal import ROUND, Goal
from crystal_ldm.discovery.novelty import Novelty, novelty_of
from crystal_ldm.discovery.ranking import FAR_BELOW, STAGES, SYMPREC, Candidate, Discovery
from crystal_ldm.discovery.rounds import keep_what_meets, make_round, round_folder
from crystal_ldm.discovery.screening import distances_before, most_promising
from crystal_ldm.discovery.second_opinion import SecondOpinion, why_not
from crystal_ldm.evaluate.band_gap import estimate_band_gaps, predictor_note
from crystal_ldm.evaluate.stability.hull import ReferenceHull
from crystal_ldm.evaluate.stability.relaxation import (
    LATE,
    RelaxationSettings,
    content_key,
    is_relaxed,
    relax_crystals,
)
from crystal_ldm.evaluate.uniqueness_and_novelty import find_duplicates
from crystal_ldm.files import Run
from crystal_ldm.files.run_directory import read_object
from crystal_ldm.files.writing import atomic_write_json, make_folder
from crystal_ldm.parallel import Executor

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule

FIRST_SHARE = 0.75
"""Share of the time after which no further round begins: the rest is the second potential's."""

_COMPARED_S = 300.0  # for one crystal, most of it for a process that starts on a busy machine
_QUIET_S = 10.0  # between two lines about relaxations
SCREENED_OUT = "screened out: others of its round lie lower before relaxation"
UNKNOWN_BEFORE = "screened out: its energy before relaxation could not be computed"
_, FILTERED, UNIQUE, SCREENED, RELAXED, STILL_UNIQUE, KEPT = STAGES


@dataclass
class Search:
    """One call of `discover`."""

    ldm: LDMModule
    goal: Goal
    run: Run
    executor: Executor
    hull: ReferenceHull
    relaxation: RelaxationSettings
    relaxed_share: float
    predictor: str
    keywords: dict[str, Any]
    tell: Callable[[str], None] | None
    relaxed_any: bool = False
    wanted: int = 0

    def __post_init__(self) -> None:
        self.found = Discovery(self.run.path, self.hull, self.goal.max_hull_distance)
        self.kept_relaxed = self.run.path / "relaxed"
        self.started = self.last_said = time.monotonic()

    def say(self, text: str) -> None:
        """Tell how far the search is: the person, and who watches the run's status."""
        self.last_said = time.monotonic()
        if self.tell is not None:
            self.tell(f"{(self.last_said - self.started) / 60:5.1f} min  {text}")
        self.run.progress(len(self.found.candidates), self.wanted, text)

    def carry_out(self, num_candidates: int, seconds: float, second_opinions: int) -> None:
        """Go through the rounds, then ask the second potential; write the list after each step."""
        found, notes = self.found, self.found.notes
        if self.predictor:
            notes.append(predictor_note(self.predictor))
        if self.goal.band_gap is not None and "band_gap" not in self.ldm.conditions:
            notes.append(
                "The model has no condition 'band_gap': crystals are made without that target and "
                "are kept only if the predictor finds the gap."
            )
        reason = why_not() if second_opinions else ""
        if reason:
            notes.append(reason)
        second_opinions = 0 if reason else second_opinions
        deadline = self.started + seconds
        rounds_end = self.started + seconds * (FIRST_SHARE if second_opinions else 1)
        self.wanted, found.complete = num_candidates, True
        rounds = math.ceil(num_candidates / ROUND)
        for number in range(rounds):
            begun = round_folder(self.run.path, number).is_dir()
            if number and not begun and time.monotonic() > rounds_end:
                found.complete = False
                break
            size = min(ROUND, num_candidates - number * ROUND)
            self._round(number, size, f"round {number + 1} of {rounds}", rounds_end)
            found.write()
            counts = ", ".join(f"{count} {name}" for name, count in found.funnel().items())
            self.say(f"after round {number + 1} of {rounds}: {counts}")
        waiting = sum(c.reason == LATE for c in found.candidates)
        found.complete &= not waiting
        if second_opinions:
            self._ask_second(second_opinions, deadline)
        if far := sum(c.far_below for c in found.kept):
            notes.append(
                f"{far} of {len(found.kept)} finds lie more than {-FAR_BELOW} eV/atom below the "
                "hull. Most likely a competing phase is missing among the references, or the "
                "potential fails: they are marked and stand behind the others."
            )
        if not found.complete:
            notes.append(
                f"The time was up: {len(found.candidates)} of {num_candidates} candidates were "
                f"made, and {waiting} of them wait to be relaxed. Run the same again to go on."
            )
        found.write()

    def _round(self, number: int, size: int, name: str, end: float) -> None:
        self.say(f"{name}: {size} candidates are made")
        new = make_round(self.ldm, self.goal, number, self.run.path, self.keywords)[:size]
        self.say(f"{name}: {sum(c.stage == FILTERED for c in new)} of {size} filtered")
        before = self.found.candidates
        self._drop_duplicates(before, new, FILTERED, UNIQUE)
        self.found.candidates = [*before, *new]
        unique = [c for c in new if c.stage == UNIQUE]
        self._screen(unique, number, size)
        screened = [c for c in new if c.stage == SCREENED]
        self.say(f"{name}: {len(unique)} of them unique, {len(screened)} of these screened")
        relaxed = self._relax(screened, name, end)
        self._drop_duplicates(before, relaxed, RELAXED, STILL_UNIQUE)
        self._judge([c for c in relaxed if c.stage == STILL_UNIQUE])
        keep_what_meets(self.goal, self.found.candidates)

    def _judge(self, candidates: list[Candidate]) -> None:
        """Find gaps, space groups and kinds of novelty of relaxed crystals, kept one by one."""
        folder = make_folder(self.run.path / "judged")
        files = [folder / f"{content_key(c.crystal, self.relaxation)}.json" for c in candidates]
        kept = [read_object(file) for file in files]
        new = [i for i, content in enumerate(kept) if not content]
        cells = [candidates[i].crystal for i in new]
        gaps = [math.nan] * len(new)
        if new and self.predictor:
            gaps = estimate_band_gaps(cells, self.predictor, workers=self.executor).gap.tolist()
        kinds = novelty_of(cells, self.ldm.training_crystals, self.executor) if new else []
        for i, cell, gap, kind in zip(new, cells, gaps, kinds, strict=True):
            kept[i] = {
                "band_gap": gap if math.isfinite(gap) else None,
                "space_group": space_group(cell, SYMPREC),
                "novelty": asdict(kind),
            }
            if kind.kind:  # a failure is not kept, so that it is tried again
                atomic_write_json(files[i], kept[i])
        for candidate, content in zip(candidates, kept, strict=True):
            gap = content["band_gap"]
            candidate.band_gap = math.nan if gap is None else gap
            candidate.space_group = content["space_group"]
            candidate.novelty = Novelty(**content["novelty"])

    def _drop_duplicates(
        self, before: list[Candidate], new: list[Candidate], stage: str, next_stage: str
    ) -> None:
        """Let those of a stage on to the next that are like no other there."""
        place = STAGES.index(next_stage)
        earlier = [c for c in before if STAGES.index(c.stage) >= place]
        later = [c for c in new if c.stage == stage]
        if not later:
            return
        formulas = {c.made.formula_key for c in later}
        compared = [c for c in earlier if c.made.formula_key in formulas] + later
        cells = [c.made if next_stage == UNIQUE else c.crystal for c in compared]
        reduced = [
            outcome.value for outcome in self.executor.map(reduced_cell, cells, timeout=_COMPARED_S)
        ]
        same = find_duplicates(reduced, SAME_CRYSTAL, self.executor)
        for candidate, duplicate in zip(later, same[-len(later) :], strict=True):
            if duplicate.unique:
                candidate.stage = next_stage
            elif duplicate.of is not None:
                candidate.reason = f"the same as another: {compared[duplicate.of].id}"
            else:
                candidate.reason = f"not compared: {duplicate.error}"

    def _screen(self, candidates: list[Candidate], number: int, size: int) -> None:
        """Let the most promising of a round's unique candidates on, and those relaxed before."""
        for candidate in candidates:
            if missing := self.hull.missing(z for z, _ in candidate.made.formula_key):
                candidate.reason = f"no hull: there is no reference energy of {missing}"
        candidates = [c for c in candidates if not c.reason]
        if self.relaxed_share < 1:
            crystals = {candidate.id: candidate.made for candidate in candidates}
            file = round_folder(self.run.path, number) / "screened.json"
            distances = distances_before(
                crystals, file, self.relaxation.potential, self.hull, self.executor
            )
            for candidate, before in zip(candidates, distances, strict=True):
                candidate.before = before
                candidate.reason = UNKNOWN_BEFORE if math.isnan(before) else SCREENED_OUT
        best = most_promising([c.before for c in candidates], math.ceil(self.relaxed_share * size))
        for i, candidate in enumerate(candidates):
            if i in best or not self._waits(candidate):
                candidate.stage, candidate.reason = SCREENED, ""

    def _waits(self, candidate: Candidate) -> bool:
        """Return whether a candidate was not relaxed yet."""
        return not is_relaxed(candidate.made, self.kept_relaxed, self.relaxation)

    def _relax(self, candidates: list[Candidate], name: str, end: float) -> list[Candidate]:
        """Relax candidates while there is time, the most promising first; what was relaxed before
        takes none, and each call relaxes one at least."""
        order = most_promising([c.before for c in candidates], len(candidates))
        done = len(candidates) - sum(map(self._waits, candidates))

        def in_time() -> bool:
            is_first, self.relaxed_any = not self.relaxed_any, True
            return is_first or time.monotonic() <= end

        def count_up(count: int) -> None:
            nonlocal done
            done += count
            if done == len(candidates) or time.monotonic() - self.last_said >= _QUIET_S:
                self.say(f"{name}: {done} of {len(candidates)} relaxed")

        results, errors = relax_crystals(
            [candidates[i].made for i in order], self.kept_relaxed, self.relaxation, self.executor,
            in_time=in_time, progress=count_up,
        )  # fmt: skip
        for i, result, error in zip(order, results, errors, strict=True):
            candidate = candidates[i]
            if result is None:
                candidate.reason = LATE if error == LATE else f"not relaxed: {error}"
                continue
            candidate.relaxed, candidate.stage = result, RELAXED
            candidate.first = self.hull.distance(result.crystal.formula_key, result.energy)
        return [c for c in candidates if c.stage == RELAXED]

    def _ask_second(self, count: int, deadline: float) -> None:
        """Ask the second potential about the best, one system after the other."""
        best = self.found.kept[:count]
        opinion = SecondOpinion(self.hull, self.kept_relaxed, self.relaxation, self.executor)
        for number, candidate in enumerate(best, start=1):
            self.say(f"second potential: {candidate.made.formula}, {number} of {len(best)}")
            candidate.second = opinion.distance(
                candidate.crystal, lambda: time.monotonic() < deadline
            )
            self.found.write()
        done = sum(c.second is not None for c in best)
        self.say(f"second potential: asked about {done} of the best {len(best)}")
        self.found.notes += opinion.notes
        if done < len(best) and not opinion.notes:
            self.found.notes.append(
                f"There was no time for the second potential on {len(best) - done} of the best "
                f"{len(best)}: run the same again to go on."
            )
