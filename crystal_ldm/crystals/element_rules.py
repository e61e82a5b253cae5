"""What the open atoms of a request may become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crystal_ldm.crystals.elements import element_set
from crystal_ldm.errors import FormulaError


@dataclass(frozen=True)
class ElementRules:
    """What the open atoms of a request may become.

    Attributes:
        required: elements that must be in the crystal.
        allowed: the only elements that open atoms may become; empty: all that the model knows.
        forbidden: elements that open atoms must not become.
    """

    required: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    @classmethod
    def make(
        cls,
        required: Sequence[str] | str | None = None,
        allowed: Sequence[str] | str | None = None,
        forbidden: Sequence[str] | str | None = None,
    ) -> ElementRules:
        """Check the symbols and that no element is both wanted and forbidden.

        Raises:
            FormulaError: for an unknown symbol or contradicting lists.
        """
        rules = cls(element_set(required), element_set(allowed), element_set(forbidden))
        both = sorted((set(rules.required) | set(rules.allowed)) & set(rules.forbidden))
        if both:
            raise FormulaError(
                f"{', '.join(both)} cannot be both forbidden and required or allowed; "
                "take it out of one of the lists."
            )
        outside = sorted(set(rules.required) - set(rules.allowed)) if rules.allowed else []
        if outside:
            raise FormulaError(
                f"{', '.join(outside)} is required but not among the allowed elements; "
                "add it to `allowed`."
            )
        return rules

    def __bool__(self) -> bool:
        return bool(self.required or self.allowed or self.forbidden)
