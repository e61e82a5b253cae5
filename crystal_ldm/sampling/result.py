"""What sampling returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.padding import chosen_rows, pad
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.training_crystals import NO_TRAINING_CRYSTALS
from crystal_ldm.parallel import Workers, open_executor
from crystal_ldm.parallel.executor import AnyWorkers
from crystal_ldm.sampling.schema import whole_number

if TYPE_CHECKING:
    from pymatgen.core import Structure


_EACH = (
    "row", "number", "element_agreement", "attempts", "imposed", "new_formula", "displacement",
)  # fmt: skip
"""Fields of a result with a value for each crystal."""
_FEW = 200
"""Crystals below which worker processes take longer to start than the comparisons."""


@dataclass
class TrajectoryFrame:
    """The model's estimate of M crystals at one step of the denoising.

    Attributes:
        step, num_steps: 0 to num_steps - 1; the last frame is the step before the result.
        noise_level: (M,), standard deviation of the noise in the latents at this step; less where
            a crystal does not start from noise.
        crystals: the decoded estimate of the clean latents, the request's elements imposed; atoms
            that it leaves open are the decoder's own reading until the last step.
        element_confidence: (M, N), the decoder's probability of each atom's element.
        predicted_noise_rms: (M,), root mean square of the predicted noise.
    """

    step: int
    num_steps: int
    noise_level: Tensor
    crystals: CrystalBatch
    element_confidence: Tensor
    predicted_noise_rms: Tensor

    def __getitem__(self, rows: Tensor) -> TrajectoryFrame:
        crystals = self.crystals[rows]
        confidence = self.element_confidence[rows, : crystals.atomic_numbers.shape[1]]
        level, rms = self.noise_level[rows], self.predicted_noise_rms[rows]
        return TrajectoryFrame(self.step, self.num_steps, level, crystals, confidence, rms)


@dataclass(repr=False)
class SampleResult:
    """M generated crystals.

    Attributes:
        crystals: the crystals; their `conditions` are the targets that each was made for.
        row, number: (M,), row of the request and number within the row.
        seed: with row and number, all that a crystal's noise depends on.
        recipe: what makes these crystals again, as plain JSON data.
        element_agreement: (M,), share of the atoms that were requested, or filled in by the model's
            composition model, for which the decoder, not told of them, would have chosen the same
            element; NaN where there are none.
        attempts: (M,), how often a crystal was made until it was as asked for.
        imposed: (M,) bool, whether required elements had to be imposed in the end.
        new_formula: (M,) bool, whether the model's training set has no crystal of the formula;
            False for all if the model does not say what it was trained on.
        displacement: (M,), Å, how far the atom went that went farthest, when the crystal was moved
            onto the space group that was asked for, or kept atoms of a host to their places (see
            `Host`); NaN where there was neither, or the group was out of reach.
        passed: for each filter by name, in its order, (M,) bool, whether the crystal passes it;
            True where it did not look (`Filter.after_others`). A start's own test stands first.
        trajectory: one frame a step, if asked for.
    """

    crystals: CrystalBatch
    row: Tensor
    number: Tensor
    seed: int
    recipe: dict[str, Any]
    element_agreement: Tensor
    attempts: Tensor
    imposed: Tensor
    new_formula: Tensor
    displacement: Tensor
    passed: dict[str, Tensor]
    trajectory: list[TrajectoryFrame] | None = None

    def __len__(self) -> int:
        return len(self.crystals)

    def __repr__(self) -> str:
        passed = ", ".join(f"{name} {int(right.sum())}" for name, right in self.passed.items())
        return (
            f"SampleResult({len(self)} crystals of {len(set(self.row.tolist()))} rows, "
            f"seed {self.seed}, passed: {passed or 'no filters'})"
        )

    @property
    def passed_all(self) -> Tensor:
        """(M,) bool, whether a crystal passes every filter."""
        every = torch.ones(len(self), dtype=torch.bool)
        return torch.stack([every, *self.passed.values()]).all(dim=0)

    @property
    def acceptance_rate(self) -> float:
        """Share of all attempts that gave a crystal with the required elements that passes every
        filter."""
        attempts = int(self.attempts.sum())
        right = self.passed_all & ~self.imposed
        return int(right.sum()) / attempts if attempts else 1.0

    def to_structures(self) -> list[Structure]:
        """Return a pymatgen `Structure` for every crystal, row by row."""
        return self.crystals.to_structures()

    def __getitem__(self, rows: int | slice | Sequence[int] | Tensor) -> SampleResult:
        """Return the chosen crystals; see `CrystalBatch.__getitem__`."""
        rows = chosen_rows(rows, len(self))
        frames = self.trajectory
        each: dict[str, Any] = {name: getattr(self, name)[rows] for name in _EACH}
        return replace(
            self,
            crystals=self.crystals[rows],
            passed={name: right[rows] for name, right in self.passed.items()},
            trajectory=None if frames is None else [frame[rows] for frame in frames],
            **each,
        )

    def representatives(self, count: int) -> SampleResult:
        """Return of each row the `count` crystals that stand for all of it, of the largest cluster
        first: variety that costs no accuracy, where rare arrangements are looked for.

        A row with open atoms, whose crystals have several formulas, is not clustered: of it the
        first `count` are returned. Where crystals are the same, fewer than `count` may stand for
        all of them; the first of the others fill up.

        Raises:
            RequestError: unless `count` is a whole number of at least 1.
        """
        from crystal_ldm.sampling.representatives import representatives

        return self._of_each_row(count, lambda crystals: representatives(crystals, count))

    def likeliest(self, count: int, ldm: LDMModule, workers: AnyWorkers = None) -> SampleResult:
        """Return of each row the `count` crystals that are likeliest to be right, the likeliest
        first: those that known crystals of similar formulas confirm, then the others as they are.

        Of a row with open atoms, whose crystals have several formulas, the first `count` are
        returned. See `crystal_ldm.sampling.likeliest`; some 20 ms a crystal.

        Args:
            count: how many of each row.
            ldm: the model, whose training crystals are the known ones.
            workers: see `open_executor`; None: one for each core where there are many crystals.

        Raises:
            RequestError: unless `count` is a whole number of at least 1, and the model has its
                training crystals with it.
        """
        from crystal_ldm.sampling.likeliest import likeliest

        known = ldm.training_crystals
        if known.empty:
            raise RequestError(f"Which crystals are likely cannot be said: {NO_TRAINING_CRYSTALS}.")
        here = workers is None and len(self) < _FEW
        with open_executor(Workers(here=True) if here else workers) as executor:
            return self._of_each_row(count, lambda crystals: likeliest(crystals, known, executor))

    def _of_each_row(self, count: int, order: Callable[[CrystalBatch], list[int]]) -> SampleResult:
        """Return the first `count` crystals of each row in an order of crystals of one formula; a
        row of several formulas stays as it is."""
        count = whole_number("count", count)
        if not len(self):
            return self
        ordered, kept = self.in_order(), []
        sizes = ordered.row.unique_consecutive(return_counts=True)[1].tolist()
        for rows in torch.arange(len(ordered)).split(sizes):
            crystals = ordered.crystals[rows]
            same = bool((crystals.atomic_numbers == crystals.atomic_numbers[:1]).all())
            kept.append(rows[order(crystals)[:count]] if same else rows[:count])
        return ordered[torch.cat(kept)]

    def in_order(self) -> SampleResult:
        """Return the crystals sorted by row and number."""
        by_number = torch.argsort(self.number, stable=True)
        return self[by_number[torch.argsort(self.row[by_number], stable=True)]]

    @staticmethod
    def of_batches(results: Sequence[SampleResult]) -> SampleResult:
        """Join the batches of one request, row by row.

        Raises:
            RequestError: if there are none, since sampling was stopped.
        """
        if not results:
            raise RequestError(
                "There are no crystals: none was wanted, or sampling was stopped before its first "
                "batch was finished."
            )
        return SampleResult.cat(results).in_order()

    @staticmethod
    def cat(results: Sequence[SampleResult]) -> SampleResult:
        """Join the results of one request."""
        first = results[0]
        trajectory = None
        if all(r.trajectory is not None for r in results):
            trajectory = [
                _join_frames(frames)
                for frames in zip(*(r.trajectory or [] for r in results), strict=True)
            ]
        each: dict[str, Any] = {n: torch.cat([getattr(r, n) for r in results]) for n in _EACH}
        return replace(
            first,
            crystals=CrystalBatch.cat([r.crystals for r in results]),
            passed={n: torch.cat([r.passed[n] for r in results]) for n in first.passed},
            trajectory=trajectory,
            **each,
        )


def _join_frames(frames: Sequence[TrajectoryFrame]) -> TrajectoryFrame:
    first = frames[0]
    crystals = CrystalBatch.cat([f.crystals for f in frames])
    width = crystals.atomic_numbers.shape[1]
    confidence = [pad(f.element_confidence, width) for f in frames]
    level = torch.cat([f.noise_level for f in frames])
    rms = torch.cat([f.predicted_noise_rms for f in frames])
    return TrajectoryFrame(first.step, first.num_steps, level, crystals, torch.cat(confidence), rms)
