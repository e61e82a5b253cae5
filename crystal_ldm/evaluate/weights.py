"""Weights of other projects: taken from installed packages, checked before they are read."""

from __future__ import annotations

import hashlib
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crystal_ldm.errors import EvaluationError


def package_file(package: str, path: str) -> Path:
    """Return the place of a file that an installed package carries."""
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / path


def read_known_file(package: str, path: str, sha256: str) -> bytes:
    """Return the content of a file that an installed package carries, if it is the known one.

    Args:
        package: name of the package, for example "chgnet".
        path: path of the file within it.
        sha256: hash of the one file that is accepted.

    Raises:
        EvaluationError: if the package or the file is missing, or the file is another one.
    """
    try:
        content = package_file(package, path).read_bytes()
    except OSError as error:
        raise EvaluationError(f"'{package}' does not carry its weights ('{path}').") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise EvaluationError(
            f"The weights '{path}' of '{package}' are not the known ones (sha256 {digest[:12]}..., "
            f"expected {sha256[:12]}...); they were not read. Install the version that "
            "constraints.txt names."
        )
    return content


def load_weights(package: str, path: str, sha256: str) -> Any:
    """Load a checkpoint that an installed package carries, if it is the known one.

    The bytes that are checked are the bytes that are read, and only tensors and plain values are
    taken from them: no code in the file is ever run.

    Raises:
        EvaluationError: see `read_known_file`.
    """
    content = read_known_file(package, path, sha256)
    # Old checkpoints keep a validation score as a numpy number, pickled under its old name.
    number = (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar")
    harmless: list[Any] = [number, np.dtype, np.dtypes.Float64DType]
    with torch.serialization.safe_globals(harmless):
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
