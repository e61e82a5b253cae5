"""Reading and writing models. Nothing in a file is ever executed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from crystal_ldm.errors import CheckpointError, CrystalLDMError
from crystal_ldm.files.paths import in_home
from crystal_ldm.nn.default_dtype import float32_default
from crystal_ldm.nn.device_and_precision import resolve_device
from crystal_ldm.nn.model_files import (
    build_within,
    check_size,
    check_weights,
    parse_metadata,
)

M = TypeVar("M", bound=nn.Module)

_FORMER_NAMES = {"composition_model": "prior", "training_crystals": "known"}
"""Parts of an LDM whose names are others in files of before, and in the hashes of weights, which
stand in recipes."""


@dataclass
class Checkpoint:
    """A model as it lies in a file.

    Attributes:
        path: the file.
        metadata: `kind` ("vae" or "ldm"), `config` (see `crystal_ldm.config.instantiate`) and
            `data_info` (what the training set held).
        state: tensors by name.
    """

    path: Path
    metadata: dict[str, Any]
    state: dict[str, Tensor]

    @classmethod
    def read(cls, path: str | Path) -> Checkpoint:
        """Read a Lightning `.ckpt` (tensors and plain data only) or a `.safetensors` file.

        Args:
            path: the file, or a run directory of notebook 02_vae or 03_ldm.

        Raises:
            CheckpointError: if the file is missing, cut short, holds more than data, was not
                written by this project, has weights that are not finite, or is larger than any
                model.
        """
        path = in_home(path)
        path = path / "model.safetensors" if os.path.isdir(path) else path
        if not os.path.isfile(path):  # `Path.is_file` raises for what no file can be called
            shown = str(path) if len(str(path)) < 200 else f"{str(path)[:200]}…"
            raise CheckpointError(
                f"There is no checkpoint {shown}; check `ldm_ckpt` or `vae_ckpt`."
            )
        check_size(path)
        text, state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_ckpt(path)
        metadata = parse_metadata(text, path)
        check_weights(state, path)
        if isinstance(content := metadata["config"].pop("prior", None), dict):  # of before
            content = {**content, "_target_": "CompositionModel"}
            metadata["config"]["composition_model"] = content
        return cls(path, metadata, state)


def former_name(name: str) -> str:
    """Return the name that a tensor had in files of before."""
    part, dot, rest = name.partition(".")
    return f"{_FORMER_NAMES.get(part, part)}{dot}{rest}"


def with_names_of_today(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a file of any version, with the names that they have now."""
    today = {former: name for name, former in _FORMER_NAMES.items()}
    parts = {name: name.partition(".") for name in state}
    return {f"{today.get(p, p)}{dot}{rest}": state[n] for n, (p, dot, rest) in parts.items()}


def _read_safetensors(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Return metadata as JSON, and tensors by name."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return (file.metadata() or {}).get("crystal_ldm", "null"), state
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); it may be cut short.") from None


def _read_ckpt(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Return metadata as JSON, and tensors by name."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(content, dict) and "crystal_ldm" in content:
            return json.dumps(content["crystal_ldm"]), content.get("state_dict", {})
    except Exception as error:  # torch raises many kinds for files that are cut short or unsafe
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} cannot be opened as tensors and plain data: it is cut short, of another kind, "
            f"or holds code, which is never run ({reason})."
        ) from None
    raise CheckpointError(f"{path} is not a model of this project.")


def module_metadata(module: Any) -> dict[str, Any]:
    """Return what is saved beside a module's weights, as plain data."""
    data = {"kind": module.kind, "config": module.config, "data_info": module.data_info}
    return json.loads(json.dumps(data))


@float32_default()
def load_module(cls: type[M], checkpoint: Checkpoint, device: str = "cpu") -> M:
    """Build the module that a checkpoint describes and fill in its weights, ready to use.

    Raises:
        CheckpointError: if the checkpoint is of another kind or does not fit its configuration.
        RequestError: for a device that is unknown or that this machine does not have.
    """
    from crystal_ldm.config import instantiate

    kind = checkpoint.metadata["kind"]
    if kind != cls.kind:  # type: ignore[attr-defined]
        raise CheckpointError(
            f"{checkpoint.path} holds a model of kind '{kind}', but one of kind '{cls.kind}' "  # type: ignore[attr-defined]
            "is needed here."
        )
    try:
        module: Any = build_within(
            lambda: instantiate(checkpoint.metadata["config"]), checkpoint.state, checkpoint.path
        )
    except CrystalLDMError:
        raise
    except Exception as error:  # sizes that do not go together, as no training writes them
        raise CheckpointError(
            f"The configuration in {checkpoint.path} describes no model ({error})."
        ) from error
    module.config = checkpoint.metadata["config"]
    module.data_info = checkpoint.metadata.get("data_info", {})
    state = {n: t.float() if t.is_floating_point() else t for n, t in checkpoint.state.items()}
    try:
        getattr(module, "import_state", module.load_state_dict)(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()[:300]  # it may list every weight
        raise CheckpointError(
            f"The weights in {checkpoint.path} do not fit its configuration: {reason}"
        ) from None
    counts = getattr(module, "num_atoms_histogram", [])
    if any(counts[module.max_atoms + 1 :]):
        raise CheckpointError(
            f"{checkpoint.path} counts training crystals of up to {len(counts) - 1} atoms, and its "
            f"model has room for {module.max_atoms}."
        )
    return module.to(resolve_device(device)).eval()


def save_safetensors(module: Any, path: str | Path, half: bool = True) -> None:
    """Write a module's weights and metadata to one safetensors file, in half precision if asked.

    Buffers (statistics, schedules) keep their precision.
    """
    from safetensors.torch import save

    from crystal_ldm.files.writing import atomic_write

    parameters = {name for name, _ in module.named_parameters()}
    full = getattr(module, "export_state", module.state_dict)()
    state = {
        name: (tensor.half() if half and name in parameters else tensor).contiguous().cpu()
        for name, tensor in full.items()
    }
    header = {"crystal_ldm": json.dumps(module_metadata(module))}
    atomic_write(Path(path), save(state, header))


def state_hash(state: Mapping[str, Tensor]) -> str:
    """Return a short hash of weights, by their half-precision values (as shipped)."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().half().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
