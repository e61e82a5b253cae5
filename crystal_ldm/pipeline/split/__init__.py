"""One large request, split over worker processes or the workers of a Dask client."""

from crystal_ldm.pipeline.split.parallel import sample_in_parallel
from crystal_ldm.pipeline.split.request_file import run_request

__all__ = ["run_request", "sample_in_parallel"]
