"""Runs of crystals: what their directories hold, made by one process or many."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystal_ldm.runs.sample_run import SampleRun as SampleRun
    from crystal_ldm.runs.sample_run import read_crystals_of as read_crystals_of
    from crystal_ldm.runs.sample_run import read_run_recipe as read_run_recipe

__all__ = ["SampleRun", "read_crystals_of", "read_run_recipe"]


def __getattr__(name: str) -> Any:  # torch is loaded when it is needed
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.sample_run"), name)
