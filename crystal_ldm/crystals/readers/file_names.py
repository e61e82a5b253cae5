"""Names of structure files: which are some, and what they call their crystal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_SUFFIXES = (
    ".cif", ".mcif", ".mmcif", ".vasp", ".poscar", ".contcar", "_poscar", "_contcar",
)  # fmt: skip
_PREFIXES = ("poscar", "contcar")


def is_structure_file(path: Path) -> bool:
    """Whether the file's name, packed or not, is that of a CIF or POSCAR."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(_SUFFIXES) or name.startswith(_PREFIXES)


def entry_id(file: Path, folder: Path) -> str:
    """Return the relative path without suffix; for `LaF3/POSCAR` that is `LaF3`."""
    relative = file.relative_to(folder)
    if file.name.lower().removesuffix(".gz") in _PREFIXES and len(relative.parts) > 1:
        return relative.parent.as_posix()
    return without_suffix(relative.as_posix())


def without_suffix(name: str, suffixes: Sequence[str] = _SUFFIXES) -> str:
    """Return a file's name, packed or not, without what says its kind: one of `suffixes`, of a
    structure file's if none are given."""
    bare = name[:-3] if name.lower().endswith(".gz") else name
    suffix = next((s for s in sorted(suffixes, key=len)[::-1] if bare.lower().endswith(s)), "")
    return bare[: len(bare) - len(suffix)]
