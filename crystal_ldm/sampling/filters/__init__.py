"""Rejection sampling: a crystal that fails a filter is made again. Each filter has its own file."""

from crystal_ldm.sampling.filters.band_gap_within import BandGapWithin
from crystal_ldm.sampling.filters.base import Filter
from crystal_ldm.sampling.filters.has_space_group import HasSpaceGroup
from crystal_ldm.sampling.filters.min_distance import MinDistance
from crystal_ldm.sampling.filters.not_in_training import NotInTraining
from crystal_ldm.sampling.filters.num_elements import NumElements

__all__ = [
    "BandGapWithin",
    "Filter",
    "HasSpaceGroup",
    "MinDistance",
    "NotInTraining",
    "NumElements",
]
