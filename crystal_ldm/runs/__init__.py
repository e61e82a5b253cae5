"""Runs of crystals: what their directories hold, made by one process or many."""

from crystal_ldm.runs.sample_run import SampleRun, read_crystals_of, read_run_recipe

__all__ = ["SampleRun", "read_crystals_of", "read_run_recipe"]
