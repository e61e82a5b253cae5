"""One prepared data set in one safetensors file: padded arrays, labels, splits, names, report.

| tensor | type, shape | content |
|---|---|---|
| `atomic_numbers` | uint8 (n, N) | 0 where padded |
| `num_atoms` | int16 (n,) | |
| `frac_coords` | float32 (n, N, 3) | in [0, 1), 0 where padded |
| `lattices` | float32 (n, 3, 3) | row vectors, Å |
| `split` | uint8 (n,) | position in `splits.PARTS` |
| `formula_index` | int32 (n,) | position in the list of reduced formulas |
| `label:<name>` | float32 (n,) | NaN where absent |
| `text` | uint8 | JSON: ids, formulas, string labels |
| `report` | uint8 | JSON: the preflight report |

The file's metadata names the data set and carries a SHA-256 of all tensors but the report. Opening
maps the file into memory; nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crystal_ldm.crystals.readers.report import Report
from crystal_ldm.data.cache import atomic_file
from crystal_ldm.data.dataset import CrystalDataset
from crystal_ldm.errors import DataError

FORMAT = "crystal_ldm dataset 1"
_NOT_HASHED = ("report",)


def write_dataset(path: Path, data: CrystalDataset) -> None:
    """Write `data` to `path`, whole or not at all, and set its `content_hash`.

    Raises:
        DataError: if the folder cannot be written or the disk is full.
    """
    from safetensors.torch import save

    text = {"ids": data.ids, "formulas": data.distinct, "categories": data.categories}
    tensors = {
        **{name: tensor.contiguous() for name, tensor in data.tensors.items()},
        "text": _json_tensor(text),
        "report": _json_tensor(data.report.to_dict()),
    }
    data.content_hash = _content_hash(tensors)
    metadata = {
        "format": FORMAT,
        "name": data.name,
        "info": json.dumps(data.info),
        "content_hash": data.content_hash,
    }
    with atomic_file(path) as part:
        # Not save_file: it makes files that their owner alone can read, and a cache may be shared.
        part.write_bytes(save(tensors, metadata=metadata))


def read_dataset(path: Path) -> CrystalDataset:
    """Map the file into memory and check its hash.

    Raises:
        DataError: if the file is cut short, damaged, or not one of ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise DataError(f"{path} is not a prepared data set of this version.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _content_hash(tensors) != metadata["content_hash"]:
            raise DataError(f"{path} is damaged: its content does not have the hash it names.")
        text = _from_json_tensor(tensors.pop("text"))
        return CrystalDataset(
            name=metadata["name"],
            info=json.loads(metadata["info"]),
            tensors=tensors,
            ids=text["ids"],
            distinct=text["formulas"],
            categories=text["categories"],
            report=Report.from_dict(_from_json_tensor(tensors.pop("report"))),
            path=path,
            content_hash=metadata["content_hash"],
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is cut short or damaged ({error}).") from error


def _json_tensor(data: Any) -> Tensor:
    encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return torch.from_numpy(np.frombuffer(encoded, dtype=np.uint8).copy())


def _from_json_tensor(tensor: Tensor) -> Any:
    return json.loads(tensor.numpy().tobytes().decode("utf-8"))


def _content_hash(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(set(tensors) - set(_NOT_HASHED)):
        array = tensors[name].numpy()
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
