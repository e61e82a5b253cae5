"""One large request, split over worker processes or the workers of a Dask client."""

from crystal_ldm.runs.split.parallel import sample_in_parallel
from crystal_ldm.runs.split.request_file import run_request

__all__ = ["run_request", "sample_in_parallel"]
