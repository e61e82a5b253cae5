"""Candidates, how far each came, and the ranked list of those that came through."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.powder import xrd_pattern
from crystal_ldm.crystals.symmetry.space_groups import group_symbol
from crystal_ldm.crystals.writers import symmetrised_cif
from crystal_ldm.discovery.novelty import Novelty
from crystal_ldm.evaluate.stability.hull import HullDistance, ReferenceHull
from crystal_ldm.evaluate.stability.relaxation import Relaxed
from crystal_ldm.evaluate.statistics import rate
from crystal_ldm.files.run_directory import CIFS, TABLE
from crystal_ldm.files.writing import atomic_write, csv_text, make_folder

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

CANDIDATES, FUNNEL, PATTERNS = "candidates.csv", "funnel.csv", "xrd"
SYMPREC = 0.1
"""Tolerance of the space groups of relaxed crystals, Å."""

STAGES = (
    "made", "filtered", "unique", "screened", "relaxed", "unique after relaxation", "kept",
)  # fmt: skip
"""What the counts are of: all candidates; those that passed the filters; that are like no earlier
one; that were not screened out before relaxation; that were relaxed; that are still like no other;
that are as asked for."""

_LISTED = STAGES[5:]

FAR_BELOW = -0.1
"""What lies lower than this against the hull, eV/atom, is marked. Most likely a competing phase is
missing among the references (crystals of up to 20 atoms that the OQMD has from the ICSD), or the
potential fails. Of the references with three or four elements, each left out in turn, two thirds
lie no lower: real compounds do so in systems with few known phases."""

SAME_PHASE = 0.02
"""What lies this near to a reference of its own formula, eV/atom, may be that known crystal. The
references are not relaxed by the potential: it would lower them by 0.004 on average (of 16)."""

LARGE_CHANGE = 0.3
"""A relaxation that changes the volume by more than this share is marked: what is left of the
crystal that was made is its elements."""

COLUMNS = {
    "rank": "place in the list: first what both potentials put near the hull, then what SevenNet "
    "was not asked about, then what lies far below the hull (see caution), last what SevenNet puts "
    "above max_hull_distance; within each by the worse of the two distances",
    "id": "name of the candidate and of its files",
    "formula": "reduced formula",
    "num_atoms": "atoms in the cell",
    "e_above_hull_chgnet": "energy above the convex hull of the reference phases, both by CHGNet, "
    "of the relaxed crystal, eV/atom; negative: below all references together",
    "e_above_hull_sevennet": "the same by SevenNet, against its own energies of the references, "
    "eV/atom; empty: it was not asked, or a reference has no energy by it",
    "e_above_hull_before": "the same by CHGNet before relaxation, eV/atom: by this it was screened",
    "caution": "why the numbers may deceive; empty: nothing is known against them",
    "band_gap": "PBE band gap of the relaxed crystal by the predictor that judge names, eV; 0: a "
    "metal",
    "space_group": f"of the relaxed crystal within {SYMPREC} Å, Hermann–Mauguin symbol",
    "space_group_number": "its number",
    "novelty": "elements exchanged: a training crystal has this structure with other elements; "
    "known prototype: another crystal of a type in the AFLOW library; new: neither",
    "known_crystal": "that training crystal, and which elements took whose place",
    "prototype": "structure type in the AFLOW library: mineral, Strukturbericht symbol, label; a "
    "distorted variant has its parent's",
    "decomposes_to": "reference phases that it competes with, by CHGNet, with the share of the "
    "atoms in each; its own formula, where another form of it lies lower",
    "cif": "file of the relaxed crystal, in the run directory",
    "xrd": "file of its powder pattern (Cu Kα)",
}
"""What each column of the list says, with its unit."""


@dataclass(eq=False)
class Candidate:
    """A crystal that was made.

    Attributes:
        id: round and name.
        made: as it was made.
        stage: the last of `STAGES` that it came through.
        reason: why it came no further, what is its own behind a colon; empty: it was kept.
        before: distance to the hull by the first potential before relaxation, eV/atom; nan: it was
            not computed, or is undefined.
        relaxed: by the first potential.
        first, second: distance to the hull by the first and by the second potential.
        band_gap: predicted for the relaxed crystal, eV; nan: not asked for, or it failed.
        space_group: of the relaxed crystal within `SYMPREC`.
        novelty: what kind of new the relaxed crystal is.
    """

    id: str
    made: Cell
    stage: str = STAGES[0]
    reason: str = ""
    before: float = math.nan
    relaxed: Relaxed | None = None
    first: HullDistance | None = None
    second: HullDistance | None = None
    band_gap: float = math.nan
    space_group: int | None = None
    novelty: Novelty = field(default_factory=Novelty)

    @property
    def crystal(self) -> Cell:
        """The relaxed crystal, for those that came so far."""
        assert self.relaxed is not None
        return self.relaxed.crystal

    @property
    def distances(self) -> list[float]:
        """What the potentials that were asked say of its distance to the hull, eV/atom."""
        known = [d.e_above_hull for d in (self.first, self.second) if d is not None]
        return [distance for distance in known if math.isfinite(distance)]

    @property
    def far_below(self) -> bool:
        """Whether a potential puts it lower against the hull than can be believed."""
        return min(self.distances, default=0.0) < FAR_BELOW

    @property
    def caution(self) -> str:
        """Why the numbers may deceive; empty: nothing is known against them."""
        parts = []
        if self.far_below:
            parts.append(
                "far below the hull: most likely a competing phase is missing among the references "
                "or the potential fails"
            )
        if self.relaxed is not None and not self.relaxed.converged:
            parts.append(f"not converged in {self.relaxed.steps} steps")
        if self.relaxed is not None and abs(self.relaxed.volume_change) > LARGE_CHANGE:
            parts.append(f"its volume changed by {self.relaxed.volume_change:+.0%} in relaxation")
        own_phase = self.first is not None and self.made.formula in self.first.products
        if own_phase and any(abs(distance) < SAME_PHASE for distance in self.distances[:1]):
            parts.append("it may be the reference of its formula, whose energy is as low")
        if self.stage in _LISTED[1:] and not self.novelty.kind:
            parts.append("whether it is known could not be found out")
        return "; ".join(parts)


@dataclass
class Discovery:
    """What was found.

    Attributes:
        path: the run directory.
        hull: the references of the first potential.
        max_hull_distance: what was looked for, eV/atom.
        candidates: all that were looked at, in the order in which they were made.
        notes: what a reader of the list must know.
        complete: whether as many were looked at as were asked for; else run the same again.
    """

    path: Path
    hull: ReferenceHull
    max_hull_distance: float
    candidates: list[Candidate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = False

    @property
    def kept(self) -> list[Candidate]:
        """Those that are as asked for, the best first."""
        kept = [c for c in self.candidates if c.stage == STAGES[-1]]
        return sorted(kept, key=lambda candidate: _rank(candidate, self.max_hull_distance))

    def funnel(self) -> dict[str, int]:
        """Return how many came through each stage."""
        places = [STAGES.index(c.stage) for c in self.candidates]
        return {name: sum(p >= i for p in places) for i, name in enumerate(STAGES)}

    def rates(self, thresholds: Sequence[float] = (0.0, 0.1)) -> list[dict[str, Any]]:
        """Return shares of the relaxed crystals that are unique, new and near the hull.

        New is each kind but "known"; by both potentials, of those that both were asked about.
        Intervals are Wilson's, 95 %.
        """
        relaxed = [c for c in self.candidates if c.relaxed is not None]
        asked = [c for c in relaxed if c.second is not None]
        groups = {"first": relaxed, "second": asked, "both": asked}
        rows = []
        for limit in thresholds:
            for name, group in groups.items():
                count = sum(_is_sun(c, name, limit) for c in group)
                counted = rate(count, len(group))
                rows.append({"potential": name, "e_above_hull <=": limit, **counted})
        return rows

    def rows(self) -> list[dict[str, Any]]:
        """Return the ranked list, a line for each kept crystal."""
        return [{"rank": i + 1, **_line(c)} for i, c in enumerate(self.kept)]

    def phase_diagram(self) -> PhaseDiagram | None:
        """Return the phases of the best crystal's elements with all finds among them, by the first
        potential; None without a find, and where it has not two to four elements."""
        system = {z for z, _ in self.kept[0].made.formula_key} if self.kept else set()
        if not 2 <= len(system) <= 4:
            return None
        finds = [
            (f"{i + 1}. {c.made.formula}", c.made.formula_key, c.relaxed.energy)
            for i, c in enumerate(self.kept)
            if c.relaxed is not None
        ]
        return self.hull.diagram_with(frozenset(system), finds)

    def write(self) -> None:
        """Write list, counts, CIFs and powder patterns, each file whole or not at all.

        Raises:
            RunError: they cannot be written.
        """
        for candidate in self.candidates:
            if candidate.relaxed is not None and candidate.stage in _LISTED:
                _write_crystal(self.path, candidate)
        columns = list(COLUMNS)
        atomic_write(self.path / TABLE, csv_text(self.rows(), columns))
        lines = [{**_line(c), "came_to": c.stage, "reason": c.reason} for c in self.candidates]
        atomic_write(self.path / CANDIDATES, csv_text(lines, [*columns[1:], "came_to", "reason"]))
        counts = [{"stage": name, "count": count} for name, count in self.funnel().items()]
        atomic_write(self.path / FUNNEL, csv_text(counts, ["stage", "count"]))


def _rank(candidate: Candidate, limit: float) -> tuple[int, float, str]:
    """Return what the list is sorted by, see `COLUMNS["rank"]`."""
    worse = max(candidate.distances, default=math.inf)
    asked = len(candidate.distances) == 2
    group = 3 if asked and worse > limit else 2 if candidate.far_below else 0 if asked else 1
    return group, worse, candidate.id


def _is_sun(candidate: Candidate, potential: str, limit: float) -> bool:
    """Return whether one is unique, new and, by a potential or by both, as near to the hull."""
    names = ("first", "second") if potential == "both" else (potential,)
    opinions = [getattr(candidate, name) for name in names]
    near = all(d is not None and d.e_above_hull <= limit for d in opinions)
    return near and candidate.stage in _LISTED and candidate.novelty.kind not in ("", "known")


def _line(candidate: Candidate) -> dict[str, Any]:
    """Return what the tables say of a candidate: distances in eV/atom, gaps in eV."""
    listed = candidate.stage in _LISTED
    first, second, group = candidate.first, candidate.second, candidate.space_group
    return {
        "id": candidate.id,
        "formula": candidate.made.formula,
        "num_atoms": len(candidate.made),
        "e_above_hull_chgnet": _rounded(first.e_above_hull if first else None),
        "e_above_hull_sevennet": _rounded(second.e_above_hull if second else None),
        "e_above_hull_before": _rounded(candidate.before),
        "caution": candidate.caution,
        "band_gap": _rounded(candidate.band_gap),
        "space_group": "" if group is None else group_symbol(group),
        "space_group_number": "" if group is None else group,
        "novelty": candidate.novelty.kind,
        "known_crystal": candidate.novelty.of,
        "prototype": candidate.novelty.prototype,
        "decomposes_to": _competitors(candidate.made.formula, first.products) if first else "",
        "cif": f"{CIFS}/{candidate.id}.cif" if listed else "",
        "xrd": f"{PATTERNS}/{candidate.id}.csv" if listed else "",
    }


def _competitors(formula: str, products: Mapping[str, float]) -> str:
    """Return the phases that a formula competes with; one of them may be the formula itself."""
    if set(products) == {formula}:
        return f"another form of {formula}"
    return " + ".join(f"{share:.2f} {name}" for name, share in products.items())


def _rounded(value: float | None) -> float | str:
    return "" if value is None or not math.isfinite(value) else round(float(value), 4)


def _write_crystal(path: Path, candidate: Candidate) -> None:
    """Write CIF and powder pattern of a relaxed crystal, unless both are there."""
    cif = make_folder(path / CIFS) / f"{candidate.id}.cif"
    pattern = make_folder(path / PATTERNS) / f"{candidate.id}.csv"
    if cif.is_file() and pattern.is_file():
        return
    atomic_write(cif, symmetrised_cif(candidate.crystal, SYMPREC)[0], flush=False)
    angles, intensities = xrd_pattern(candidate.crystal.to_structure())
    lines = [f"{a:.3f},{i:.2f}\n" for a, i in zip(angles, intensities, strict=True)]
    atomic_write(pattern, "".join(["two_theta,intensity\n", *lines]), flush=False)
