"""Data sets: known ones by name, the user's own by path, prepared once and kept in a cache."""

from __future__ import annotations

from crystal_ldm.crystals.readers.report import Rejection, Report
from crystal_ldm.data.cache import cache_path, set_cache_dir
from crystal_ldm.data.dataset import CrystalDataset
from crystal_ldm.data.registry import DATASETS, find_source, load_dataset
from crystal_ldm.data.splits import PARTS

__all__ = [
    "DATASETS",
    "PARTS",
    "CrystalDataset",
    "Rejection",
    "Report",
    "cache_path",
    "find_source",
    "load_dataset",
    "set_cache_dir",
]
