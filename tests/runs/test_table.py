"""Few ranges stand for many places."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crystal_ldm.runs.table import Places

PAIRS = st.tuples(st.integers(0, 3), st.integers(0, 20))


@given(st.lists(PAIRS))
def test_places_are_a_set(pairs: list[tuple[int, int]]) -> None:
    places = Places()
    for row, number in pairs:
        places.add(row, number)
    assert len(places) == len(set(pairs))
    for row in range(4):
        for number in range(21):
            assert ((row, number) in places) == ((row, number) in pairs)
    ranges = list(places.ranges())
    again = Places(ranges)
    assert list(again.ranges()) == ranges and len(again) == len(places)


def test_what_is_made_in_order_is_one_range() -> None:
    places = Places()
    for number in [*range(0, 1000, 2), *range(1, 1000, 2)]:
        places.add(7, number)
    assert list(places.ranges()) == [(7, 0, 1000)]
