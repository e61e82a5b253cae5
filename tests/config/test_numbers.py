"""Numbers of every library count as numbers, and errors are one sentence."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crystal_ldm.config.numbers import Number, Whole, sentence


class Some(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    steps: Whole = Field(5, ge=1, le=100)
    scale: Number = Field(1.0, gt=0)
    limit: Number | None = None
    kind: Literal["ddim", "ddpm"] = "ddim"


SEVENS = [
    7,
    7.0,
    np.int64(7),
    np.uint8(7),
    np.float32(7),
    np.array(7),
    torch.tensor(7),
    torch.tensor(7.0, dtype=torch.float16),
    pd.Series([7]).iloc[0],
    pd.array([7], dtype="Int64")[0],
]


@pytest.mark.parametrize("seven", SEVENS, ids=lambda v: f"{type(v).__module__}.{type(v).__name__}")
def test_a_number_of_any_library_is_a_number(seven: object) -> None:
    made = Some(steps=seven, scale=seven, limit=seven)
    assert (made.steps, made.scale, made.limit) == (7, 7.0, 7.0)
    assert type(made.steps) is int and type(made.scale) is float and type(made.limit) is float


@pytest.mark.parametrize(
    "wrong", [True, "7", np.bool_(True), None, [7], np.array([7]), math.nan, math.inf, pd.NA, 7.5]
)
def test_what_is_no_whole_number_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Some(steps=wrong)
    assert sentence(Some, caught.value).startswith(
        "steps must be a whole number from 1 to 100, not "
    )


@pytest.mark.parametrize(
    "values, expected",
    [
        ({"steps": "x"}, "steps must be a whole number from 1 to 100, not 'x'."),
        ({"steps": 101}, "steps must be a whole number from 1 to 100, not 101."),
        ({"scale": 0}, "scale must be a number above 0, not 0"),
        ({"limit": "x"}, "limit must be a number or None, not 'x'."),
        ({"kind": "dim"}, "kind must be one of ddim, ddpm, not 'dim'. Did you mean 'ddim'?"),
        ({"stepz": 1}, "There is no option 'stepz'. Did you mean 'steps'?"),
    ],
)
def test_an_error_is_one_sentence(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Some(**values)
    assert sentence(Some, caught.value, "option").startswith(expected)
