"""The one reader of structure files, for data sets, evaluation, and files that are dropped."""

from crystal_ldm.crystals.readers.entries import Entry, Problem, Source, read_payload
from crystal_ldm.crystals.readers.sources import OpenSource, open_source, open_structures

__all__ = [
    "Entry",
    "OpenSource",
    "Problem",
    "Source",
    "open_source",
    "open_structures",
    "read_payload",
]
