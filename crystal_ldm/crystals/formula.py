"""Chemical formulas as a user types them, with `?` for an open atom."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from crystal_ldm.crystals.elements import atomic_number, electronegativity_rank, symbols
from crystal_ldm.errors import FormulaError

MAX_FORMULA_ATOMS = 10_000
_TOKEN = re.compile(
    r"(?P<symbol>\?|[A-Z][a-z]?)|(?P<number>\d+(?:\.\d+)?)|(?P<open>[(\[])|(?P<close>[)\]])"
    r"|(?P<between>\s*[·*]\s*|\s+)|(?P<other>.)",
    re.DOTALL,
)
_SAME_SIGNS = str.maketrans("₀₁₂₃₄₅₆₇₈₉•∙⋅×・‧", "0123456789······", "\u200b\u200c\u200d\ufeff")
_MARKUP = re.compile(r"(?:<sub>|_\{|~)(\d+)(?:</sub>|\}|~)|(?<![\d>~}])_(?=\d)")
_MATHS = re.compile(r"\$([^$]*)\$")
_ISOTOPE = re.compile(r"\[(\d{1,3})([A-Z][a-z]?)\]")
_STATE = re.compile(r"(?<=[A-Za-z?])[(\[](?:0|I{1,3}|IV|VI{0,3}|IX)[)\]](?=(\d?))")
_CLOSES = {"(": ")", "[": "]", "": ""}


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
    plain = _MATHS.sub(r"\1", formula.translate(_SAME_SIGNS))
    cleaned = _MARKUP.sub(r"\1", plain).strip().strip("$")
    if not cleaned:
        raise FormulaError("The formula is empty; type one such as SrTiO3.")
    try:
        counts = _atoms(cleaned)
    except FormulaError as error:
        raise FormulaError(f"{error}{_suggested(cleaned)}") from None
    notes = [
        f"The isotope {m}{symbol} is read as {symbol}." for m, symbol in _ISOTOPE.findall(cleaned)
    ]
    if _STATE.search(cleaned):
        notes.append(f"Oxidation states in '{cleaned}' are no part of a formula and are left out.")
    if heavy := counts.pop("D", 0) + counts.pop("T", 0):
        counts["H"] += heavy
        notes.append("D and T are isotopes of hydrogen and are read as H.")
    num_open = counts.pop("?", 0)
    rank = electronegativity_rank()
    ordered = sorted(counts, key=lambda symbol: rank[atomic_number(symbol)])
    return ParsedFormula(
        formula, {symbol: counts[symbol] for symbol in ordered}, num_open, tuple(notes)
    )


def _atoms(text: str) -> Counter[str]:
    """Return the atoms of a formula, D and T among them.

    Raises:
        FormulaError: as `parse_formula`.
    """
    written = text
    for state in _STATE.finditer(text):
        if state.group()[1:-1] in ("I", "V") and state.group(1):
            raise FormulaError(
                f"In '{text}', {state.group()} may be an oxidation state or an element; leave it "
                "or its brackets out."
            )
    text = _STATE.sub("", _ISOTOPE.sub(r"\2", text))
    if re.search(r"[(\[](?:II+|IV|VI+|IX)[)\]]", text):  # nobody writes iodine as (III)
        raise FormulaError(f"In '{written}', an oxidation state stands behind no element.")
    if text[0].isdigit() and not re.search(r"[·*\s]", text):
        raise FormulaError(f"'{text}' has the number {text[0]} without an element before it.")
    # CuSO4 · 5 H2O and ( NaCl ), but not Na · 2 3Cl
    joined = re.sub(r"([·*]\s*\d+(?=\s+[^\s\d])|[(\[])\s+", r"\1", text)
    tokens = [(match.lastgroup or "", match.group()) for match in _TOKEN.finditer(joined)]
    counts = _group(tokens[::-1], text)
    if sum(counts.values()) > MAX_FORMULA_ATOMS:
        raise FormulaError(f"'{text[:60]}' has more than {MAX_FORMULA_ATOMS} atoms.")
    return counts


def _group(tokens: list[tuple[str, str]], text: str, opener: str = "") -> Counter[str]:
    """Take tokens from the end of a list, up to what closes `opener`; return the atoms in it."""
    total, part = Counter[str](), Counter[str]()
    factor = 0  # of the part; 0: no number stands before it
    while True:
        kind, sign = tokens.pop() if tokens else ("close", "")
        if kind in ("symbol", "open"):
            if kind == "symbol" and sign not in (*symbols(), "D", "T"):
                raise FormulaError(f"In '{text}': '{sign}' is not an element symbol.")
            unit = Counter([sign]) if kind == "symbol" else _group(tokens, text, sign)
            if tokens and tokens[-1][0] == "number":
                number = _count(tokens.pop()[1], text)
                unit = Counter({symbol: n * number for symbol, n in unit.items()})
            part.update(unit)
        elif kind == "number" and not part and not factor:
            factor = _count(sign, text)
        elif kind in ("between", "close") and (part or (total and not factor)):
            total.update({symbol: n * (factor or 1) for symbol, n in part.items()})
            part, factor = Counter(), 0
            if kind == "close" and sign == _CLOSES[opener]:
                return total
            if kind == "close":
                raise FormulaError(
                    f"'{text[:60]}' has a bracket that is not opened or not closed by its own kind."
                )
        elif kind == "other":
            raise FormulaError(_unreadable(text, sign))
        else:
            what = f"the number {factor}" if factor else f"'{sign.strip()}'" if sign else "its end"
            raise FormulaError(f"'{text[:60]}' has {what} where an element is missing.")


def _count(number: str, text: str) -> int:
    value = float(number)
    if re.match(r"0\d", number):
        raise FormulaError(f"'{text[:60]}' has the count {number[:9]}; oxygen is the letter O.")
    if value > MAX_FORMULA_ATOMS or value == 0:
        raise FormulaError(f"'{text[:60]}' has the count {number[:60]}; counts are 1 to 10,000.")
    if not value.is_integer():
        raise FormulaError(
            f"'{text}' has the fraction {number}; crystals have whole numbers of atoms, "
            "so multiply the formula until all are whole (between groups write '·', not a point)."
        )
    return int(value)


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


def _unreadable(formula: str, character: str) -> str:
    if character.isalpha():
        hint = f"elements start with a capital letter from A to Z ('{character}' does not)."
        return f"'{formula}' cannot be read: {hint}"
    hint = " Write '·' between groups." if character in ".:,/-+" else ""
    return f"'{formula}' cannot be read: '{character}' has no place in a formula.{hint}"


def _suggested(formula: str) -> str:
    """Return `" Did you mean 'CaCl2'?"` for readable ways to write `formula`."""
    if len(formula) > 60:
        return ""
    pieces = re.split(r"([A-Za-z]+)", formula)
    ways = [_spelled(piece) if piece.isalpha() else [piece] for piece in pieces]
    readable: list[str] = []
    for way in islice(product(*ways), 20):
        candidate = "".join(way)
        with suppress(FormulaError):  # it fails for another reason, such as a bracket
            if candidate != formula and _atoms(candidate):
                readable.append(f"'{candidate}'")
    return f" Did you mean {' or '.join(readable[:2])}?" if readable else ""


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
