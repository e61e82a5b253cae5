"""Errors that a user can cause. Each message says what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CrystalLDMError(ValueError):
    """Base of every error that comes from input rather than from a defect of the program."""

    def _render_traceback_(self) -> list[str]:
        """Show the sentence alone in a notebook (IPython asks for this)."""
        return [f"{type(self).__name__}: {self}"]


class FormulaError(CrystalLDMError):
    """A chemical formula cannot be read, or asks for what does not exist."""


class DataError(CrystalLDMError):
    """A data set, a structure file or a table cannot be read."""


class ConfigError(CrystalLDMError):
    """A configuration has an unknown key, a wrong value or a class that is not listed."""


class CheckpointError(CrystalLDMError):
    """A checkpoint is missing, cut short, of the wrong kind, or unsafe to open."""


class RequestError(CrystalLDMError):
    """A model was asked for something that it was not trained for."""


class RunError(CrystalLDMError):
    """A run directory cannot be used."""


class EvaluationError(CrystalLDMError):
    """An evaluation was given input that it cannot work with."""


def suggest(word: str, options: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the closest of `options`, or an empty string."""
    close = difflib.get_close_matches(str(word), list(options), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """Return that there is none of this name, which was probably meant, and which there are."""
    known = list(known)
    there = ", ".join(known) or "none"
    return f"There is no {kind} '{name}'.{suggest(name, known)} There are: {there}."


def describe_error(error: BaseException) -> str:
    """Return an error as one line, `ValueError: what it says`."""
    text = " ".join(str(error).split())
    if len(text) > 300:
        text = text[:297] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
