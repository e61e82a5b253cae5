"""Data sets: known ones by name, the user's own by path, prepared once and kept in a cache."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals.readers.report import Rejection, Report
from crystal_ldm.data.cache import CacheInfo, cache_info, cache_path, set_cache_dir
from crystal_ldm.data.dataset import CrystalDataset
from crystal_ldm.data.registry import DATASETS, load_dataset
from crystal_ldm.data.splits import PARTS

if TYPE_CHECKING:
    from crystal_ldm.data.datamodule import BucketSampler, CrystalDataModule, bucketed_batches

__all__ = [
    "DATASETS",
    "PARTS",
    "BucketSampler",
    "CacheInfo",
    "CrystalDataModule",
    "CrystalDataset",
    "Rejection",
    "Report",
    "bucketed_batches",
    "cache_info",
    "cache_path",
    "load_dataset",
    "set_cache_dir",
]

# Lightning takes seconds to import and is needed for training only.
_LAZY = ("BucketSampler", "CrystalDataModule", "bucketed_batches")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module("crystal_ldm.data.datamodule"), name)
    raise AttributeError(f"module 'crystal_ldm.data' has no attribute '{name}'")
