"""Training, validation and test parts, fixed by each formula alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.readers.entries import PARTS

VAL_SHARE = 0.05
TEST_SHARE = 0.05
BY_FORMULA = "90/5/5 by reduced formula"


def formula_key(crystal: Cell) -> str:
    """Return the reduced composition as text, e.g. `8:3 22:1 38:1` for SrTiO3 (Z:count)."""
    return " ".join(f"{z}:{n}" for z, n in crystal.formula_key)


def hash_fraction(key: str) -> float:
    """Return a number in [0, 1) that depends on `key` alone, uniform over keys (SHA-256)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2.0**64


def split_by_formula(keys: Sequence[str], ids: Sequence[str]) -> np.ndarray:
    """Return part codes (n,) uint8: about 90/5/5 by `keys`, all entries of a key in one part.

    A key's part depends on the key alone, so new entries never move others, and a formula lies in
    the same part of every data set that is split this way: a model trained on one set and tuned on
    another has never seen the other's test formulas.

    Where that would leave a part empty (a small set), the key with the smallest hash becomes `val`,
    the next `test`, and the largest `train`. Below three different keys the entries are split by
    `ids` instead.
    """
    groups = list(keys) if len(set(keys)) >= len(PARTS) else list(ids)
    fraction = {key: hash_fraction(key) for key in set(groups)}
    part = {key: _part_of(u) for key, u in fraction.items()}
    if len(part) >= len(PARTS) and set(part.values()) != set(PARTS):
        order = sorted(fraction, key=lambda key: fraction[key])
        part[order[0]], part[order[1]], part[order[-1]] = "val", "test", "train"
    elif len(part) < len(PARTS):
        part = dict.fromkeys(part, "train")
    return np.array([PARTS.index(part[g]) for g in groups], dtype=np.uint8)


def _part_of(fraction: float) -> str:
    if fraction < VAL_SHARE:
        return "val"
    return "test" if fraction < VAL_SHARE + TEST_SHARE else "train"


def split_officially(
    keys: Sequence[str], ids: Sequence[str], files: Sequence[str | None]
) -> tuple[np.ndarray, str]:
    """Return part codes (n,) uint8 from the file that each entry came from, and how it was done.

    With files for all three parts they are taken as they are. Without a test file, the validation
    file is the test set, and 5 % of the training file, by formula, are the validation set. Without
    a validation file the latter holds too. With a single file: `split_by_formula`.
    """
    present = set(files) & set(PARTS)
    if None in files or "train" not in present or len(present) == 1:
        return split_by_formula(keys, ids), BY_FORMULA
    if len(present) == len(PARTS):
        return np.array([PARTS.index(str(f)) for f in files], dtype=np.uint8), "the official files"
    reported = "val" if "val" in present else "test"
    train_keys = {key for file, key in zip(files, keys, strict=True) if file == "train"}
    chosen = {key for key in train_keys if hash_fraction(key) < VAL_SHARE}
    if not chosen and len(train_keys) > 1:
        chosen = {min(train_keys, key=hash_fraction)}
    codes = np.full(len(files), PARTS.index("test"), dtype=np.uint8)
    for i, (file, key) in enumerate(zip(files, keys, strict=True)):
        if file == "train":
            codes[i] = PARTS.index("val" if key in chosen else "train")
    return codes, (
        "train and val (5 % by formula) from the official train file, "
        f"test = the official {reported} file"
    )
