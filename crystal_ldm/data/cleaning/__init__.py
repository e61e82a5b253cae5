"""From entries to canonical cells: geometry checks, filters, removal of duplicates."""

from crystal_ldm.data.cleaning.duplicates import find_duplicates
from crystal_ldm.data.cleaning.prepare import Filters, Prepared, prepare_entries

__all__ = ["Filters", "Prepared", "find_duplicates", "prepare_entries"]
