"""Models that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crystal_ldm.errors import CheckpointError, no_such

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule

FOLDER = Path(__file__).parent
DEFAULT = "oqmd_icsd"


def available() -> list[str]:
    """Return the names of the shipped models, the default one first."""
    names = sorted(path.stem for path in FOLDER.glob("*.safetensors"))
    return sorted(names, key=lambda name: name != DEFAULT)


def model_file(name: str = DEFAULT) -> Path:
    """Return the file of a shipped model.

    Raises:
        CheckpointError: if there is no model of that name.
    """
    path = FOLDER / f"{name}.safetensors"
    if name not in available():
        raise CheckpointError(no_such("shipped model", name, available()))
    return path


def load_pretrained(name: str = DEFAULT, device: str = "auto") -> LDMModule:
    """Load a model that comes with the package, ready to sample.

    Args:
        name: `oqmd_icsd` (the default) or another of `crystal_ldm.pretrained.available()`.
        device: where to put it (see `crystal_ldm.nn.device_and_precision.resolve_device`).

    Raises:
        CheckpointError: if there is no such model, or its file is damaged.
    """
    from crystal_ldm.ldm_module import LDMModule

    ldm = LDMModule.load_from_checkpoint(model_file(name), device=device)
    ldm.source = name
    return ldm


def load_model(model: str | Path = "", device: str = "auto") -> LDMModule:
    """Load a model: a shipped one by name (empty: the default), or from a file or run directory.

    Raises:
        CheckpointError: if there is no such model, or it cannot be read.
    """
    from crystal_ldm.files import resolve_path
    from crystal_ldm.ldm_module import LDMModule

    name = str(model).strip()
    if not name or name in available():
        return load_pretrained(name or DEFAULT, device)
    return LDMModule.load_from_checkpoint(resolve_path(name), device=device)
