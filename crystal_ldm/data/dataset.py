"""`CrystalDataset`: a prepared data set, mapped into memory from its file in the cache.

The file is one of safetensors: padded arrays, labels, splits, names, report.

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

Its metadata names the data set and carries a SHA-256 of all tensors but the report. Opening maps it
into memory; nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from crystal_ldm.crystals import MAX_Z, CrystalBatch
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.crystals.padding import take
from crystal_ldm.crystals.readers.report import Report
from crystal_ldm.crystals.readers.units import UNITS
from crystal_ldm.data.cache import atomic_file
from crystal_ldm.data.splits import PARTS
from crystal_ldm.errors import DataError, suggest

if TYPE_CHECKING:
    from pymatgen.core import Structure

FORMAT = "crystal_ldm dataset 1"
LABEL_PREFIX = "label:"


@dataclass(eq=False, repr=False)
class CrystalDataset:
    """Crystals in canonical form with labels and splits. Opening it reads next to nothing.

    Attributes:
        name: name of the data set.
        info: `description`, `licence`, `split` (how it was done), `max_atoms`.
        tensors: arrays by name, those of the table above without the two JSON ones.
        ids: (n,) names of the entries.
        distinct: the distinct reduced formulas.
        categories: text labels (n,) by name, None where absent.
        report: what was found, kept and rejected, with reasons.
        path: its file in the cache.
        content_hash: SHA-256 of crystals, labels, names and splits, in hex.
    """

    name: str
    info: dict[str, Any]
    tensors: dict[str, Tensor]
    ids: list[str]
    distinct: list[str]
    categories: dict[str, list[str | None]]
    report: Report
    path: Path = Path()
    content_hash: str = ""

    @classmethod
    def open(cls, path: str | Path) -> CrystalDataset:
        """Open a file of the cache.

        Raises:
            DataError: if it is cut short, damaged or not one of ours.
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
            report = Report.from_dict(_from_json_tensor(tensors.pop("report")))
            return cls(
                metadata["name"],
                json.loads(metadata["info"]),
                tensors,
                text["ids"],
                text["formulas"],
                text["categories"],
                report,
                Path(path),
                metadata["content_hash"],
            )
        except DataError:
            raise
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is cut short or damaged ({error}).") from error

    def write(self, path: Path) -> None:
        """Write it to a file, whole or not at all, and set its `content_hash`.

        Raises:
            DataError: if the folder cannot be written or the disk is full.
        """
        from safetensors.torch import save

        text = {"ids": self.ids, "formulas": self.distinct, "categories": self.categories}
        tensors = {
            **{name: tensor.contiguous() for name, tensor in self.tensors.items()},
            "text": _json_tensor(text),
            "report": _json_tensor(self.report.to_dict()),
        }
        self.content_hash = _content_hash(tensors)
        metadata = {
            "format": FORMAT,
            "name": self.name,
            "info": json.dumps(self.info),
            "content_hash": self.content_hash,
        }
        with atomic_file(path) as part:
            # Not save_file: it makes files that their owner alone can read; a cache may be shared.
            part.write_bytes(save(tensors, metadata=metadata))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"CrystalDataset({self.name!r}, {len(self):,} crystals, {self.content_hash[:12]})"

    @cached_property
    def labels(self) -> dict[str, np.ndarray | list[str | None]]:
        """By name, float32 (n,) with NaN where absent, or a list (n,) of text and None.

        `band_gap` is in eV, `formation_energy_per_atom` and `e_above_hull` in eV/atom.
        """
        numbers: dict[str, np.ndarray | list[str | None]] = {
            name.removeprefix(LABEL_PREFIX): tensor.numpy()
            for name, tensor in self.tensors.items()
            if name.startswith(LABEL_PREFIX)
        }
        return numbers | self.categories

    @property
    def label_names(self) -> list[str]:
        """Names of the labels, numbers first."""
        return list(self.labels)

    @cached_property
    def num_atoms(self) -> np.ndarray:
        """(n,) int64."""
        return self.tensors["num_atoms"].numpy().astype(np.int64)

    @cached_property
    def formulas(self) -> list[str]:
        """(n,) reduced formulas."""
        return [self.distinct[i] for i in self.tensors["formula_index"].tolist()]

    def batch(self, indices: Sequence[int] | np.ndarray | Tensor) -> CrystalBatch:
        """Return the chosen crystals, padded to the largest of them, with labels as conditions."""
        rows = torch.as_tensor(np.asarray(indices, dtype=np.int64).reshape(-1))
        if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= len(self)):
            raise DataError(
                f"{self.name} has the crystals 0 to {len(self) - 1}, but {int(rows.min())} to "
                f"{int(rows.max())} were asked for."
            )
        sizes = self.tensors["num_atoms"][rows].long()
        width = int(sizes.max()) if len(rows) else 0
        labels = {name: self.tensors.get(LABEL_PREFIX + name, v) for name, v in self.labels.items()}
        return CrystalBatch(
            atomic_numbers=self.tensors["atomic_numbers"][rows, :width].long(),
            num_atoms=sizes,
            frac_coords=self.tensors["frac_coords"][rows, :width],
            lattices=self.tensors["lattices"][rows],
            conditions={name: take(values, rows) for name, values in labels.items()},
            ids=take(self.ids, rows),
        )

    def structure(self, index: int) -> Structure:
        """Return one crystal as a pymatgen structure."""
        return self.batch([index]).to_structures()[0]

    def indices(self, part: str) -> np.ndarray:
        """Return the positions (m,) int64 of `train`, `val` (validation) or `test`.

        Raises:
            DataError: for another name.
        """
        if part not in PARTS:
            raise DataError(
                f"There is no part '{part}'.{suggest(part, PARTS)} There are {', '.join(PARTS)}."
            )
        return np.flatnonzero(self.tensors["split"].numpy() == PARTS.index(part))

    def element_counts(self, part: str | None = "train") -> dict[str, int]:
        """Return, by element symbol, the number of distinct formulas of `part` that contain it.

        None: of the whole set. Elements are listed by atomic number.
        """
        rows = np.arange(len(self)) if part is None else self.indices(part)
        formula = self.tensors["formula_index"].numpy()[rows]
        first = rows[np.unique(formula, return_index=True)[1]]
        numbers = self.tensors["atomic_numbers"].numpy()[first]
        present = np.zeros((len(first), MAX_Z + 1), dtype=bool)
        present[np.arange(len(first))[:, None], numbers] = True
        counts = present.sum(axis=0)
        return {symbols()[z]: int(counts[z]) for z in range(1, MAX_Z + 1) if counts[z]}

    def vocabulary(self, min_formulas: int = 10) -> tuple[str, ...]:
        """Return the elements in at least `min_formulas` formulas of the training set, by Z."""
        return tuple(s for s, n in self.element_counts("train").items() if n >= min_formulas)

    @property
    def summary(self) -> str:
        """What is in the data set, and what was left out, in a few lines."""
        atoms = self.num_atoms
        parts = ", ".join(f"{part} {len(self.indices(part)):,}" for part in PARTS)
        lines = [
            f"{self.name}: {len(self):,} crystals, {len(self.distinct):,} formulas, "
            f"{len(self.element_counts(None))} elements, {atoms.min()} to {atoms.max()} atoms",
        ]
        lines += [self.info["description"]] if self.info.get("description") else []
        lines += [f"Licence: {self.info['licence']}"] if self.info.get("licence") else []
        lines.append(f"Parts ({self.info['split']}): {parts}")
        lines += [f"Label {self._label_line(name)}" for name in self.labels]
        dropped = ", ".join(f"{kind} {n:,}" for kind, n in self.report.counts().items())
        total = f"{len(self.report.rejected):,} of {self.report.found:,}"
        lines.append(f"Dropped {total}{': ' if dropped else ''}{dropped}")
        lines += [f"Note: {note}" for note in self.report.notes]
        lines.append(f"Content hash {self.content_hash[:16]}, file {self.path}")
        return "\n".join(lines)

    def _label_line(self, name: str) -> str:
        values = self.labels[name]
        if isinstance(values, list):
            present = [v for v in values if v is not None]
            return f"{name}: {len(present):,} given, {len(set(present)):,} different"
        finite = values[np.isfinite(values)]
        unit = f" {UNITS[name]}" if name in UNITS else ""
        line = (
            f"{name}: {len(finite):,} given, {finite.min():.4g} to {finite.max():.4g}{unit}, "
            f"median {np.median(finite):.4g}"
        )
        if name == "band_gap":
            line += f", {int((finite > 0).sum()):,} above zero"
        return line


def _json_tensor(data: Any) -> Tensor:
    encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return torch.from_numpy(np.frombuffer(encoded, dtype=np.uint8).copy())


def _from_json_tensor(tensor: Tensor) -> Any:
    return json.loads(tensor.numpy().tobytes().decode("utf-8"))


def _content_hash(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(set(tensors) - {"report"}):
        array = tensors[name].numpy()
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
