"""How strongly a request's conditions act (classifier-free guidance)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from crystal_ldm.config.numbers import Number, short
from crystal_ldm.ldm_module.guidance import DEFAULT_SCALE
from crystal_ldm.sampling.schema import Settings, option

Scale = Annotated[Number, Field(ge=0, le=100)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
NONE, AFTER_FIRST, ALL = "none", "after_first", "all"


class Guidance(Settings):
    """Classifier-free guidance (Ho & Salimans 2022), with a scale for each condition.

    Scale 0 leaves the unconditional model, 1 the conditional one; above 1 the conditions count more
    than they did in training. Outside `interval` (Kynkäänniemi et al. 2024) the conditional
    prediction is used as it is.
    """

    scale: Scale | dict[str, Scale] = option(
        DEFAULT_SCALE,
        "How strongly the conditions act, one number or one for each condition; 1: as trained",
        level="basic",
        keyword="cfg_scale",
    )
    interval: tuple[Fraction, Fraction] = option(
        (0.0, 1.0),
        "Part of the diffusion time in which guidance acts, 0 (clean) to 1 (noise)",
        keyword="cfg_interval",
    )

    likely_groups: str = option(
        NONE,
        "Which of a formula's crystals take its likely space groups in turn, if none is asked for",
        choices=(NONE, AFTER_FIRST, ALL),
    )

    @field_validator("likely_groups", mode="before")
    @classmethod
    def _name_of_flag(cls, which: Any) -> Any:
        return {False: NONE, True: ALL}[which] if isinstance(which, bool) else which

    @field_validator("interval")
    @classmethod
    def _rises(cls, interval: tuple[float, float]) -> tuple[float, float]:
        if interval[0] > interval[1]:
            raise ValueError(
                f"cfg_interval must be two numbers 0 ≤ low ≤ high ≤ 1, not {short(interval)}."
            )
        return interval
