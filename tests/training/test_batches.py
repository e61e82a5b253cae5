from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_ldm.training.batches import bucketed_batches

SIZES = np.random.default_rng(0).integers(1, 21, size=2000)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 24), max_size=80),
    st.integers(1, 17),
    st.integers(0, 5),
)
def test_every_index_comes_once_and_limits_hold(sizes, batch_size, epoch):
    sizes = np.array(sizes, dtype=np.int64)
    batches = bucketed_batches(sizes, batch_size, 3, epoch)
    together = np.concatenate([np.array([], dtype=int), *batches])
    assert sorted(together.tolist()) == list(range(len(sizes)))
    assert all(len(batch) <= batch_size for batch in batches)


def test_order_depends_on_seed_and_epoch_alone():
    def order(*arguments, **keywords):
        return [b.tolist() for b in bucketed_batches(SIZES, 64, *arguments, **keywords)]

    assert order(1) == order(1)
    assert order(1, epoch=2) == order(1, epoch=2)
    assert order(1) != order(2)
    assert order(1) != order(1, epoch=1)


def test_padding_is_below_five_percent_where_random_batches_waste_40():
    batches = bucketed_batches(SIZES, 64)
    padded = sum(len(b) * SIZES[b].max() for b in batches)
    assert padded / SIZES.sum() < 1.05
    shuffled = np.random.default_rng(1).permutation(len(SIZES))
    naive = sum(len(b) * SIZES[b].max() for b in np.array_split(shuffled, len(batches)))
    assert naive / SIZES.sum() > 1.4


def test_batches_are_not_sorted_by_size():
    largest = [SIZES[b].max() for b in bucketed_batches(SIZES, 64)]
    assert largest != sorted(largest)
