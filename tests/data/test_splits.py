from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.data.splits import (
    PARTS,
    formula_key,
    hash_fraction,
    split_by_formula,
    split_officially,
)

KEYS = [f"{z}:{n} 8:{m}" for z in range(20, 80) for n in range(1, 6) for m in range(1, 10)]
TRAIN, VAL, TEST = range(3)


def by_formula(keys: list[str]) -> np.ndarray:
    return split_by_formula(keys, [f"id-{i}" for i in range(len(keys))])


def test_formula_key_is_that_of_the_reduced_formula_whatever_the_cell():
    def key_of(numbers: list[int]) -> str:
        return formula_key(Cell.from_arrays(numbers, np.zeros((len(numbers), 3)), np.eye(3)))

    srtio3 = [38, 22, 8, 8, 8]
    assert key_of(srtio3) == key_of(srtio3[::-1] * 4) == "8:3 22:1 38:1"
    assert key_of(srtio3) != key_of([38, 22, 8, 8])


def test_split_is_about_90_5_5():
    share = np.bincount(by_formula(KEYS), minlength=3) / len(KEYS)
    # Three standard deviations of a share of 0.05 in 2,700 draws are 0.013.
    assert np.allclose(share, (0.90, 0.05, 0.05), atol=0.013)


def test_all_entries_of_a_formula_are_in_one_part():
    codes = by_formula(KEYS + KEYS[::-1])
    assert (codes[: len(KEYS)] == codes[len(KEYS) :][::-1]).all()


def test_new_entries_never_move_others():
    assert (by_formula(KEYS)[:1000] == by_formula(KEYS[:1000])).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(KEYS), min_size=3, max_size=12, unique=True))
def test_no_part_is_empty_even_in_a_small_set(keys: list[str]):
    assert set(by_formula(keys)) == {TRAIN, VAL, TEST}


def test_a_set_with_one_formula_is_split_by_entry():
    codes = by_formula(["6:1"] * 1000)
    assert 20 < (codes == VAL).sum() < 90 and 20 < (codes == TEST).sum() < 90


def test_official_files_are_taken_as_they_are_when_all_three_exist():
    files = [PARTS[i % 3] for i in range(len(KEYS))]
    codes, how = split_officially(KEYS, KEYS, files)
    assert [PARTS[c] for c in codes] == files and "official" in how


def test_without_a_test_file_val_is_reported_and_a_part_of_train_chooses():
    files = ["train"] * 2000 + ["val"] * (len(KEYS) - 2000)
    codes, _ = split_officially(KEYS, KEYS, files)
    assert (codes[2000:] == TEST).all()
    assert not (codes[:2000] == TEST).any()
    chosen = np.array([hash_fraction(k) < 0.05 for k in KEYS[:2000]])
    assert ((codes[:2000] == VAL) == chosen).all() and 60 < chosen.sum() < 140


def test_a_lone_file_is_split_by_formula():
    codes, how = split_officially(KEYS, KEYS, ["train"] * len(KEYS))
    assert (codes == by_formula(KEYS)).all() and "formula" in how
