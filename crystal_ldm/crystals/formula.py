"""Chemical formulas as a user types them, with `?` for an open atom."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from crystal_ldm.crystals.elements import (
    atomic_number,
    electronegativity_rank,
    element_set,
    symbols,
)
from crystal_ldm.errors import FormulaError, suggest

MAX_FORMULA_ATOMS = 10_000
_TOKEN = re.compile(r"(\?|[A-Z][a-z]?)|(\d+(?:\.\d+)?)|([()\[\]])|([\s·*_]+)|(.)")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


@dataclass(frozen=True)
class ParsedFormula:
    """A formula that was understood.

    Attributes:
        text: what was typed.
        counts: atoms of each element in one formula unit, in order of electronegativity.
        num_open: open atoms (`?`) in one formula unit.
    """

    text: str
    counts: dict[str, int]
    num_open: int

    @property
    def num_atoms(self) -> int:
        """Atoms in one formula unit, open ones included."""
        return sum(self.counts.values()) + self.num_open

    @property
    def atomic_numbers(self) -> list[int]:
        """Atomic numbers of one formula unit by electronegativity; open atoms (0) come last."""
        known = [atomic_number(symbol) for symbol, n in self.counts.items() for _ in range(n)]
        return known + [0] * self.num_open


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


def parse_formula(text: str) -> ParsedFormula:
    """Read a formula such as `SrTiO3`, `Ca(OH)2` or `Sr?O3`.

    Raises:
        FormulaError: with one sentence that names the part that could not be read.
    """
    if not isinstance(text, str):
        raise FormulaError(f"A formula is text such as SrTiO3, not {text!r}.")
    cleaned = text.strip().translate(_SUBSCRIPTS)
    if not cleaned:
        raise FormulaError("The formula is empty; type one such as SrTiO3.")
    stack: list[dict[str, int]] = [{}]
    last: dict[str, int] | None = None  # what a following number multiplies
    for match in _TOKEN.finditer(cleaned):
        symbol, number, bracket, space, other = match.groups()
        if other:
            raise FormulaError(_unreadable(cleaned, other))
        if space:
            continue
        if symbol:
            _merge(stack[-1], last)
            last = {symbols()[_element(symbol, cleaned)]: 1}
        elif number:
            last = _multiply(last, number, cleaned)
            _merge(stack[-1], last)
            last = None
        elif bracket in "([":
            _merge(stack[-1], last)
            last = None
            stack.append({})
        else:
            _merge(stack[-1], last)
            if len(stack) == 1:
                raise FormulaError(f"'{cleaned}' closes a bracket that was not opened.")
            last = stack.pop()
    _merge(stack[-1], last)
    if len(stack) > 1:
        raise FormulaError(f"'{cleaned}' opens a bracket that is not closed.")
    counts = stack[0]
    if not counts:
        raise FormulaError(f"'{cleaned}' holds no element.")
    if sum(counts.values()) > MAX_FORMULA_ATOMS:
        raise FormulaError(f"'{cleaned}' has more than {MAX_FORMULA_ATOMS} atoms.")
    num_open = counts.pop("?", 0)
    rank = electronegativity_rank()
    ordered = sorted(counts, key=lambda symbol: rank[atomic_number(symbol)])
    return ParsedFormula(text, {symbol: counts[symbol] for symbol in ordered}, num_open)


def _unreadable(formula: str, character: str) -> str:
    hint = f"'{character}' has no place in a formula"
    if character.islower() or character.isalpha():
        fixed = formula[0].upper() + formula[1:]
        hint = f"elements start with a capital letter ('{character}' does not)"
        if fixed != formula:
            return f"'{formula}' cannot be read: {hint}.{suggest(formula, [fixed])}"
    return f"'{formula}' cannot be read: {hint}."


def _element(symbol: str, formula: str) -> int:
    try:
        return atomic_number(symbol)
    except FormulaError as error:
        raise FormulaError(f"In '{formula}': {error}") from None


def _multiply(group: dict[str, int] | None, number: str, formula: str) -> dict[str, int]:
    if group is None:
        raise FormulaError(f"'{formula}' has the number {number} without an element before it.")
    value = float(number)
    if value != int(value):
        raise FormulaError(
            f"'{formula}' has the fraction {number}; crystals have whole numbers of atoms, "
            "so multiply the formula until all are whole."
        )
    if not 1 <= value <= MAX_FORMULA_ATOMS:
        raise FormulaError(f"'{formula}' has the count {number}; counts are 1 to 10,000.")
    return {symbol: n * int(value) for symbol, n in group.items()}


def _merge(into: dict[str, int], group: dict[str, int] | None) -> None:
    for symbol, n in (group or {}).items():
        into[symbol] = into.get(symbol, 0) + n
