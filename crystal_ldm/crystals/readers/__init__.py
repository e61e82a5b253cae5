"""Readers for every kind of source; `open_source` picks the one that fits."""

from crystal_ldm.crystals.readers.entries import Cell, Entry, Source, parse
from crystal_ldm.crystals.readers.sources import OpenSource, open_source, open_structures

__all__ = ["Cell", "Entry", "OpenSource", "Source", "open_source", "open_structures", "parse"]
