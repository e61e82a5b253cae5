"""How to sample, checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from crystal_ldm.errors import RequestError, suggest
from crystal_ldm.ldm_module.diffusion import get_sampler
from crystal_ldm.ldm_module.guidance import DEFAULT_SCALE, Scales

PRECISIONS = ("float32", "bfloat16")
DEFAULT_STEPS = 5
DEFAULT_ATTEMPTS = 5
DEFAULT_TEMPLATES = 8
DEFAULT_MIN_DISTANCE = 0.5
"""Å: the limit of structure validity (CDVAE, Xie et al. 2022)."""
AUTO_BATCH_VALUES = 327_680
"""Atoms times hidden size in an automatic batch: what a core's cache likes."""


@dataclass(frozen=True)
class SamplingOptions:
    """How to sample.

    Attributes:
        sampler: `ddpm`, `ddim` or `dpm_solver++`.
        sampling_steps: steps of the sampler.
        eta: share of fresh noise in DDIM's steps, 0 to 1.
        cfg_scale: guidance scale, a number or a dict by condition (1: none, 0: unconditional).
        cfg_interval: part of the diffusion time (0: clean, 1: noise) in which guidance acts;
            elsewhere the conditional prediction is used as it is.
        temperature: factor on the standard deviation of all noise drawn. 0: none, the most typical
            crystal of a composition and its targets, so that one sample of each is enough; what has
            to be made again has the usual noise.
        composition_temperature: divides the logarithms of the probabilities of elements that the
            model draws itself: below 1 more usual compositions, and fewer of them.
        seed: seed of all noise.
        batch_size: crystals in a batch, or `auto`: as many as memory bandwidth likes.
        precision: `float32` or `bfloat16` (autocast of the network; faster on some processors).
        compile: whether `torch.compile` fuses the denoiser's small operations: about a tenth faster
            after some ten seconds; needs a C++ compiler. Crystals agree to rounding.
        offset: number of the first crystal of each row, to split a request over workers.
        trajectory: whether to keep the decoded estimate of each step.
        min_distance: a crystal with two atoms closer than this, Å, is made again; 0: it is kept.
        band_gap_tolerance: a crystal whose band gap, by either of the project's own predictors, is
            farther than this from its target, eV, is made again; 0: it is kept.
        new_formulas: whether elements that the model draws itself are drawn again until the formula
            is none of the training part's (at most 100 times; see `SampleResult.new_formula`).
        relative_distance: above 0 elements that the model draws itself are drawn again until the
            formula stands in the training part or has a relative there, with as many elements and
            atoms of each, whose elements are no farther from its own than this (mean over atoms,
            `known.similarity`; at most 100 times). 0.5 leaves out a fifth of all new formulas.
        new_crystals: whether a crystal of the training part (`StructureMatcher.fit` with pymatgen's
            tolerances) is made again.
        template_strength: above 0 a crystal starts from a template, a training crystal of a similar
            formula with its elements exchanged, whose latents are noised for this share of the
            diffusion time: near 0 it stays what it was, at 1 nothing is left of it. 0.3 makes the
            most accurate crystals of a formula. Formulas without a template start from noise.
        template_share: the share of a row's crystals that start so, evenly among the others, which
            start from noise. Where rare structures are looked for, half of each (0.5) found most.
        templates: how many templates take turns: the first of a row's crystals that start so has
            the nearest, the next the second, one that is made again the one after its own.
        max_attempts: how often a crystal is made again that is not sound, new or on target, or
            lacks required elements (those are imposed the last time; with a composition prior
            none lacks them).
    """

    sampler: str = "ddim"
    sampling_steps: int = DEFAULT_STEPS
    eta: float = 0.0
    cfg_scale: Scales = DEFAULT_SCALE
    cfg_interval: tuple[float, float] = (0.0, 1.0)
    temperature: float = 1.0
    composition_temperature: float = 1.0
    seed: int = 0
    batch_size: int | str = "auto"
    precision: str = "float32"
    compile: bool = False
    offset: int = 0
    trajectory: bool = False
    min_distance: float = DEFAULT_MIN_DISTANCE
    band_gap_tolerance: float = 0.0
    new_formulas: bool = False
    relative_distance: float = 0.0
    new_crystals: bool = False
    template_strength: float = 0.0
    template_share: float = 1.0
    templates: int = DEFAULT_TEMPLATES
    max_attempts: int = DEFAULT_ATTEMPTS

    @classmethod
    def make(cls, options: Mapping[str, Any]) -> SamplingOptions:
        """Check options given by keyword.

        Raises:
            RequestError: for an unknown name or a value out of range.
        """
        names = [f.name for f in fields(cls)]
        for name in options:
            if name not in names:
                raise RequestError(
                    f"Sampling has no option '{name}'.{suggest(name, names)} "
                    f"The options are {', '.join(names)}."
                )
        values = dict(options)
        if "cfg_interval" in values:
            values["cfg_interval"] = _interval(values["cfg_interval"])
        made = cls(**values)
        for name in ("sampler", "precision"):
            if not isinstance(getattr(made, name), str):
                raise RequestError(f"{name} must be a name, not {getattr(made, name)!r}.")
        get_sampler(made.sampler)
        _whole("sampling_steps", made.sampling_steps, 1, 10_000)
        _whole("seed", made.seed, 0, 2**63 - 1)
        _whole("offset", made.offset, 0, 2**31)
        _whole("max_attempts", made.max_attempts, 1, 1000)
        _whole("templates", made.templates, 1, 1000)
        _number("template_strength", made.template_strength, 0, 1)
        _number("template_share", made.template_share, 0, 1)
        _number("relative_distance", made.relative_distance, 0, 100)
        _number("eta", made.eta, 0, 1)
        _number("min_distance", made.min_distance, 0, 10)
        _number("temperature", made.temperature, 0, 10)
        _number("composition_temperature", made.composition_temperature, 0, 10)
        _number("band_gap_tolerance", made.band_gap_tolerance, 0, 100)
        if made.batch_size != "auto":
            _whole("batch_size", made.batch_size, 1, 1_000_000)
        for name in ("compile", "trajectory", "new_formulas", "new_crystals"):
            if not isinstance(getattr(made, name), bool):
                raise RequestError(f"{name} must be true or false, not {getattr(made, name)!r}.")
        if made.precision not in PRECISIONS:
            raise RequestError(
                f"The precision must be {' or '.join(PRECISIONS)}, not '{made.precision}'."
                f"{suggest(made.precision, PRECISIONS)}"
            )
        return made

    @property
    def about_training_crystals(self) -> list[str]:
        """The options in use whose crystals depend on those that the model was trained on."""
        names = ("new_formulas", "relative_distance", "new_crystals", "template_strength")
        return [name for name in names if getattr(self, name)]

    def template_rank(self, number: int, attempt: int = 0) -> int | None:
        """Return which template a row's crystal starts from, 0: the nearest; None: from noise."""
        if self.template_strength == 0:
            return None
        shares = (round(n * self.template_share, 9) for n in (number, number + 1))
        before, after = map(math.ceil, shares)
        return (before + attempt) % self.templates if before < after else None

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain JSON data."""
        data = asdict(self)
        data["cfg_interval"] = list(self.cfg_interval)
        if isinstance(self.cfg_scale, Mapping):
            data["cfg_scale"] = dict(self.cfg_scale)
        return data

    def crystals_in_batch(self, num_atoms: int, hidden_size: int) -> int:
        """Return how many crystals of up to `num_atoms` atoms a denoiser should make at once."""
        if isinstance(self.batch_size, int):
            return self.batch_size
        return max(1, AUTO_BATCH_VALUES // (hidden_size * max(num_atoms, 1)))


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestError(f"{name} must be a whole number from {low} to {high}, not {value!r}.")


def _number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RequestError(f"{name} must be a number from {low} to {high}, not {value!r}.")


def _interval(value: Any) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not 0 <= low <= high <= 1:
        raise RequestError(f"cfg_interval must be two numbers 0 ≤ low ≤ high ≤ 1, not {value!r}.")
    return low, high
