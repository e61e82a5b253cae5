"""What a model file may hold: it is checked whole before anything is built from it."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import Tensor, nn

from crystal_ldm.config.numbers import Whole, sentence
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.errors import CheckpointError

_SHIPPED = Path(__file__).absolute().parents[1] / "pretrained"
MAX_BYTES = 8 * 2**30
_MAX_METADATA_BYTES = 16 * 2**20
_SLACK_TENSORS, _SLACK_NUMBERS = 1_000, 1_000_000

M = TypeVar("M")


class DataInfo(BaseModel):
    """What a model file says of its training set; further keys are kept as they are.

    Attributes:
        elements: symbols of the elements that occur.
        num_atoms_histogram: crystals by number of atoms, from 0.
        num_crystals: their number.
        vae: the same of the VAE's training set, in the file of an LDM.
    """

    model_config = ConfigDict(extra="allow", strict=True)

    elements: list[str] = Field(["H"], min_length=1)
    num_atoms_histogram: list[Whole] = Field([0, 1], max_length=10_000)
    num_crystals: Whole = Field(0, ge=0)
    content_hash: str = ""
    vae: dict[str, Any] = Field({})

    @field_validator("elements")
    @classmethod
    def _are_symbols(cls, elements: list[str]) -> list[str]:
        unknown = [name for name in elements if name not in symbols()[1:]]
        if unknown:
            raise ValueError(f"its elements have {unknown[0][:20]!r}, which is none")
        if len(set(elements)) < len(elements):
            raise ValueError("its elements have one twice")
        return elements

    @field_validator("num_atoms_histogram")
    @classmethod
    def _are_counts(cls, counts: list[int]) -> list[int]:
        if counts and (min(counts) < 0 or counts[0] > 0 or sum(counts) == 0):
            raise ValueError(
                "its num_atoms_histogram is no histogram: counts from 0, none of them below 0, "
                "the first one 0, and at least one crystal"
            )
        return counts


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    kind: Literal["vae", "ldm"]
    config: dict[str, Any]
    data_info: dict[str, Any] = Field({})


def check_size(path: Path) -> None:
    """Refuse a file that is, or unpacks to, more than any model.

    Raises:
        CheckpointError: with the size.
    """
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = max(size, sum(entry.file_size for entry in archive.infolist()))
    if size > MAX_BYTES:
        raise CheckpointError(
            f"{path} holds {size / 2**30:.1f} GiB, and no model has more than "
            f"{MAX_BYTES // 2**30}: it was not opened."
        )


def parse_metadata(text: str, path: Path) -> dict[str, Any]:
    """Return a file's metadata, JSON that describes a model and its training set.

    Raises:
        CheckpointError: with what is wrong.
    """
    if len(text) > _MAX_METADATA_BYTES:
        raise CheckpointError(
            f"The metadata of {path} have {len(text) / 2**20:.0f} MiB, more than the "
            f"{_MAX_METADATA_BYTES // 2**20} that are read."
        )
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"The metadata of {path} cannot be read ({error}).") from None
    if not isinstance(metadata, dict) or not {"kind", "config"} <= set(metadata):
        raise CheckpointError(f"{path} is not a model of this project: it has no configuration.")
    for model, content in ((_Metadata, metadata), (DataInfo, metadata.get("data_info", {}))):
        try:
            model.model_validate(content)
        except ValidationError as error:
            raise CheckpointError(
                f"{path} is not a model that can be used: {sentence(model, error)}"
            ) from None
    return metadata


def check_weights(state: Any, path: Path) -> None:
    """Check that weights are finite numbers, and no more of them than the file has bytes.

    Raises:
        CheckpointError: with the first tensor that is wrong.
    """
    if not isinstance(state, Mapping) or not all(isinstance(t, Tensor) for t in state.values()):
        raise CheckpointError(f"{path} holds no tensors by name: it is not a model.")
    count = sum(tensor.numel() for tensor in state.values())
    if count > path.stat().st_size:
        raise CheckpointError(
            f"The tensors in {path} claim to have {count:,} numbers, more than the file has bytes."
        )
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{path} has weights that are no finite numbers ({name[:80]}): its training "
                "diverged or the file is damaged. Take an earlier checkpoint."
            )


def build_within(build: Callable[[], M], state: Mapping[str, Tensor], path: Path) -> M:
    """Build a module, after a rehearsal without memory that stops where it outgrows its file.

    A configuration may ask for a million layers: they are refused at about the thousandth, since
    a file's module cannot have more weights than the file (twice: a network and its average).
    Models that come with the package are built at once: PyTorch imports its compiler for the
    rehearsal, which takes longer than all else until their first crystal.

    Raises:
        CheckpointError: the configuration means a larger module.
    """
    if path.absolute().parent == _SHIPPED:
        return build()
    tensors = 2 * len(state) + _SLACK_TENSORS
    numbers = 2 * sum(tensor.numel() for tensor in state.values()) + _SLACK_NUMBERS

    here = threading.get_ident()

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal tensors, numbers
        if threading.get_ident() != here or parameter is None:  # hooks see all threads
            return
        tensors, numbers = tensors - 1, numbers - parameter.numel()
        if tensors < 0 or numbers < 0:
            raise CheckpointError(
                f"The configuration in {path} describes a larger model than its weights are of."
            )

    hook = nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            build()
    finally:
        hook.remove()
    return build()
