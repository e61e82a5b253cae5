"""How the elements of open atoms are drawn."""

from __future__ import annotations

from crystal_ldm.config.numbers import Number
from crystal_ldm.sampling.schema import Settings, option


class Elements(Settings):
    """How the composition model draws the elements that a request leaves open.

    With `new_formula` or `max_distance_to_known`, and where charges have to be in balance, they are
    drawn again, at most 100 times, until the formula is as asked for; of these at most 50 times for
    the charges, which may have no balance. A relative of a formula has as many elements and atoms
    of each; its distance is the mean over atoms of `crystals.elements.element_distances`.
    """

    temperature: Number = option(
        1.0, "Below 1 more usual compositions, and fewer of them", low=0, high=10
    )
    new_formula: bool = option(False, "Only formulas that the training set does not have")
    max_distance_to_known: Number | None = option(
        None,
        "Only formulas of the training set, or with a relative there no farther than this",
        low=0,
        high=100,
    )
    charge_balanced: bool = option(
        True,
        "Whether oxidation states have to add up to zero where a request names N, O, F, S, Cl, Se, "
        "Br or I",
    )

    @property
    def about_training_set(self) -> list[str]:
        """The fields in use that depend on the training set."""
        known = self.max_distance_to_known is not None
        in_use = {"new_formula": self.new_formula, "max_distance_to_known": known}
        return [name for name, used in in_use.items() if used]
