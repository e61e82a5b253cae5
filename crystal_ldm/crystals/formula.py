"""Chemical formulas as a user types them, with `?` for an open atom."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from crystal_ldm.crystals.elements import atomic_number, electronegativity_rank, symbols
from crystal_ldm.errors import FormulaError

MAX_FORMULA_ATOMS = 10_000
_TOKEN = re.compile(
    r"(?P<symbol>\?|[A-Z][a-z]?)"
    r"|(?P<state>\((?:0|I{1,3}|IV|VI{0,3}|IX)\)|\[(?:I{1,3}|IV|VI{0,3}|IX)\])"
    r"|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<open>[(\[])|(?P<close>[)\]])"
    r"|(?P<dot>\s*[·*]\s*)|(?P<blank>\s+)|(?P<skip>_(?=\d))|(?P<other>.)",
    re.DOTALL,
)
_SAME_SIGNS = str.maketrans("₀₁₂₃₄₅₆₇₈₉•∙⋅×・‧", "0123456789······", "\u200b\u200c\u200d\ufeff")
_MARKUP = re.compile(r"(?:<sub>|_\{|~)(\d+)(?:</sub>|\}|~)")
_ISOTOPE = re.compile(r"\[(\d{1,3})([A-Z][a-z]?)\]")
_CLOSES = {"(": ")", "[": "]"}


@dataclass(frozen=True)
class ParsedFormula:
    """A formula that was understood.

    Attributes:
        text: what was typed.
        counts: atoms of each element in one formula unit, in order of electronegativity.
        num_open: open atoms (`?`) in one formula unit.
        notes: what was read otherwise than typed, one sentence each.
    """

    text: str
    counts: dict[str, int]
    num_open: int
    notes: tuple[str, ...] = ()

    @property
    def num_atoms(self) -> int:
        """Atoms in one formula unit, open ones included."""
        return sum(self.counts.values()) + self.num_open

    @property
    def atomic_numbers(self) -> list[int]:
        """Atomic numbers of one formula unit by electronegativity; open atoms (0) come last."""
        known = [atomic_number(symbol) for symbol, n in self.counts.items() for _ in range(n)]
        return known + [0] * self.num_open


def parse_formula(formula: str | Mapping[Any, Any]) -> ParsedFormula:
    """Read a formula such as `SrTiO3`, `Ca(OH)2`, `CuSO4·5H2O` or `Sr?O3`.

    A number after `·`, `*` or a blank multiplies what follows, up to the next of them. Oxidation
    states in Roman numerals, as in `Fe(II)O`, are left out, and D and T are H; `notes` says so.
    A mapping of symbols to numbers of atoms is a formula, too.

    Raises:
        FormulaError: with one sentence that names the part that could not be read.
    """
    formula = _from_mapping(formula) if isinstance(formula, Mapping) else formula
    if not isinstance(formula, str):
        raise FormulaError(f"A formula is text such as SrTiO3, not {formula!r}.")
    cleaned = _MARKUP.sub(r"\1", formula.translate(_SAME_SIGNS)).strip().strip("$")
    if not cleaned:
        raise FormulaError("The formula is empty; type one such as SrTiO3.")
    reader = _Reader(_ISOTOPE.sub(r"\2", cleaned))
    for mass, symbol in _ISOTOPE.findall(cleaned):
        reader.note(f"The isotope {mass}{symbol} is read as {symbol}.")
    counts = reader.read()
    if not counts:
        raise FormulaError(f"'{cleaned}' holds no element.")
    if sum(counts.values()) > MAX_FORMULA_ATOMS:
        raise FormulaError(f"'{cleaned[:60]}' has more than {MAX_FORMULA_ATOMS} atoms.")
    num_open = counts.pop("?", 0)
    rank = electronegativity_rank()
    ordered = sorted(counts, key=lambda symbol: rank[atomic_number(symbol)])
    return ParsedFormula(
        formula, {symbol: counts[symbol] for symbol in ordered}, num_open, tuple(reader.notes)
    )


@dataclass
class _Group:
    """What stands between two brackets: finished parts, and the part that is being read."""

    opener: str = ""
    done: Counter[str] = field(default_factory=Counter)
    part: Counter[str] = field(default_factory=Counter)
    last: dict[str, int] | None = None  # what a following number multiplies
    factor: str = "1"

    @property
    def part_begins(self) -> bool:
        return not self.part and self.last is None

    def end_unit(self) -> None:
        self.part.update(self.last or {})
        self.last = None


class _Reader:
    """One pass over the signs of a formula, with a stack of open brackets."""

    def __init__(self, text: str, suggests: bool = True) -> None:
        self.text = text
        self.suggests = suggests  # not where a suggestion is tried itself
        self.notes: list[str] = []
        self.stack = [_Group()]

    def read(self) -> dict[str, int]:
        tokens = [(m.lastgroup or "other", m.group()) for m in _TOKEN.finditer(self.text)]
        tokens = [t for t in tokens if t[0] != "skip"]
        kinds = ["start", *(kind for kind, _ in tokens), "end"]
        for i, (kind, sign) in enumerate(tokens):
            before, after = kinds[i], kinds[i + 2]
            group = self.stack[-1]
            if kind == "symbol":
                group.end_unit()
                group.last = {self._symbol(sign): 1}
            elif kind == "state" and before == "symbol":
                self._oxidation_state(tokens[i - 1][1] + sign, sign, after)
            elif kind == "state" and len(sign) > 3:  # nobody writes iodine as (III)
                raise FormulaError(
                    f"In '{self.text}', {sign} stands behind no element; write an oxidation state "
                    "behind its element, or leave it out."
                )
            elif kind == "state":  # a group such as (I)
                self._open("(")
                for symbol in sign[1:-1]:
                    self.stack[-1].end_unit()
                    self.stack[-1].last = {self._symbol(symbol): 1}
                self._close(")")
            elif kind == "number":
                self._number(sign, before, after)
            elif kind == "open":
                self._open(sign)
            elif kind == "close":
                self._close(sign)
            elif kind in ("dot", "blank") and before != "start":
                self._end_part(group)
            else:
                raise FormulaError(_unreadable(self.text, sign, self.suggests))
        if len(self.stack) > 1:
            raise FormulaError(f"'{self.text}' opens a bracket that is not closed.")
        return self._finished(self.stack[-1])

    def _symbol(self, sign: str) -> str:
        if sign in ("D", "T"):
            self.note("D and T are isotopes of hydrogen and are read as H.")
            return "H"
        try:
            return symbols()[atomic_number(sign)]
        except FormulaError as error:
            better = _suggested(self.text) if self.suggests else ""
            reason = f"'{sign}' is not an element symbol.{better}" if better else error
            raise FormulaError(f"In '{self.text}': {reason}") from None

    def note(self, sentence: str) -> None:
        """Say what is read otherwise than typed, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _oxidation_state(self, sites: str, state: str, after: str) -> None:
        if state[1:-1] in ("I", "V") and after == "number":
            raise FormulaError(
                f"In '{self.text}', {state} may be an oxidation state or an element; leave the "
                "brackets away, or leave the oxidation state out."
            )
        self.note(f"The oxidation state of {sites} is not part of a formula and is left out.")

    def _number(self, sign: str, before: str, after: str) -> None:
        group = self.stack[-1]
        if before in ("symbol", "close", "state"):
            group.last = _multiply(group.last, sign, self.text)
            group.end_unit()
            return
        several_parts = before != "start" or re.search(r"[·*\s]", self.text)
        follows = after in ("symbol", "open") or (after == "blank" and before == "dot")
        if before in ("start", "dot", "blank", "open") and several_parts and follows:
            group.factor = sign
            return
        if before == "blank":
            raise FormulaError(
                f"In '{self.text}' the number {sign} stands alone; write it behind its element "
                "(O3) or before the group that it multiplies (3H2O)."
            )
        raise FormulaError(f"'{self.text}' has the number {sign} without an element before it.")

    def _open(self, sign: str) -> None:
        self.stack[-1].end_unit()
        self.stack.append(_Group(sign))

    def _close(self, sign: str) -> None:
        if len(self.stack) == 1:
            raise FormulaError(f"'{self.text}' closes a bracket that was not opened.")
        group = self.stack.pop()
        if sign != _CLOSES[group.opener]:
            raise FormulaError(
                f"'{self.text}' closes '{group.opener}' with '{sign}'; use brackets in pairs."
            )
        inside = self._finished(group)
        if not inside:
            raise FormulaError(f"'{self.text}' has brackets with nothing in them.")
        self.stack[-1].last = inside

    def _end_part(self, group: _Group) -> None:
        if group.part_begins:  # a factor waits for its part
            return
        group.end_unit()
        group.done.update(_multiply(group.part, group.factor, self.text))
        group.part, group.factor = Counter(), "1"

    def _finished(self, group: _Group) -> dict[str, int]:
        if group.part_begins and group.factor != "1":
            raise FormulaError(
                f"'{self.text}' has the number {group.factor} with nothing to multiply."
            )
        self._end_part(group)
        return group.done


def _from_mapping(counts: Mapping[Any, Any]) -> str:
    """Return `{"Na": 1, "Cl": 1}` as text."""
    parts = []
    for key, count in counts.items():
        symbol = str(getattr(key, "symbol", key)).strip()
        if not re.fullmatch(r"\?|[A-Z][a-z]?", symbol):
            raise FormulaError(f"'{symbol}' is not an element symbol.")
        try:
            number = float(count)
        except (TypeError, ValueError):
            raise FormulaError(f"The count of {symbol} is a number, not {count!r}.") from None
        if isinstance(count, str) or not number.is_integer():
            raise FormulaError(f"The count of {symbol} is a whole number, not {count!r}.")
        parts.append(f"{symbol}{int(number)}")
    return "".join(parts)


def _unreadable(formula: str, character: str, suggests: bool) -> str:
    if character.isalpha():
        hint = f"elements start with a capital letter from A to Z ('{character}' does not)."
        return f"'{formula}' cannot be read: {hint}{_suggested(formula) if suggests else ''}"
    hint = " Write '·' between groups." if character in ".:,/-+" else ""
    return f"'{formula}' cannot be read: '{character}' has no place in a formula.{hint}"


def _suggested(formula: str) -> str:
    """Return `" Did you mean 'CaCl2'?"` for readable ways to write `formula`."""
    pieces = re.split(r"([A-Za-z]+)", formula) if len(formula) <= 60 else []
    ways = [_spelled(piece) if piece.isalpha() else [piece] for piece in pieces]
    readable: list[str] = []
    for way in islice(product(*ways), 20):
        candidate = "".join(way)
        # A spelling of known symbols fails for another reason only, such as a bracket.
        if candidate != formula and _reads(candidate):
            readable.append(f"'{candidate}'")
    return f" Did you mean {' or '.join(readable[:2])}?" if readable else ""


def _reads(formula: str) -> bool:
    try:
        return bool(_Reader(formula, suggests=False).read())
    except FormulaError:
        return False


def _spelled(letters: str) -> list[str]:
    """Return up to three ways to spell letters in element symbols, those of few symbols first."""
    known = set(symbols()[1:])
    ways: list[list[list[str]]] = [[[]]]
    for end in range(1, len(letters) + 1):
        longer = [
            [*way, symbol]
            for size in (2, 1)
            if end >= size and (symbol := letters[end - size : end].capitalize()) in known
            for way in ways[end - size]
        ]
        # Of two spellings of as many symbols, light elements are the likelier.
        best = sorted(longer, key=lambda way: (len(way), sum(map(atomic_number, way))))
        ways.append(best[:3])
    return ["".join(way) for way in ways[-1]]


def _multiply(group: dict[str, int] | None, number: str, formula: str) -> dict[str, int]:
    if group is None:
        raise FormulaError(f"'{formula}' has the number {number} without an element before it.")
    value = float(number)
    if re.match(r"0\d", number):
        raise FormulaError(f"'{formula[:60]}' has the count {number[:9]}; oxygen is the letter O.")
    if value > MAX_FORMULA_ATOMS or value == 0:
        raise FormulaError(f"'{formula[:60]}' has the count {number[:60]}; counts are 1 to 10,000.")
    if not value.is_integer():
        raise FormulaError(
            f"'{formula}' has the fraction {number}; crystals have whole numbers of atoms, "
            "so multiply the formula until all are whole (between groups write '·', not a point)."
        )
    return {symbol: n * int(value) for symbol, n in group.items()}
