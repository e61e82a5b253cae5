"""The preflight report: what was found, what was kept, and why each other entry was not."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crystal_ldm.files.writing import csv_text


@dataclass(frozen=True)
class Rejection:
    """One entry that was not used.

    Attributes:
        id: the entry's name.
        where: file and row, so that a user finds it.
        kind: the reason in a few words, the same for all such entries.
        reason: the reason in a sentence, with this entry's numbers.
    """

    id: str
    where: str
    kind: str
    reason: str


@dataclass
class Report:
    """Result of reading a source. `print` it for the first entries of each kind.

    Attributes:
        found: number of entries in the source.
        kept: number of entries in the data set.
        rejected: every other entry with its reason.
        notes: what else a user should know, e.g. which column became which label.
    """

    found: int = 0
    kept: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return the number of rejected entries by kind, largest first."""
        return dict(Counter(r.kind for r in self.rejected).most_common())

    def write_csv(self, path: str | Path) -> None:
        """Write all rejected entries as a table with the columns id, where, kind, reason."""
        text = csv_text(map(asdict, self.rejected), ["id", "where", "kind", "reason"])
        Path(path).write_text(text, encoding="utf-8", newline="")

    def __str__(self) -> str:
        """Return counts by kind with up to three entries of each, and the notes."""
        lines = [f"{self.found:,} entries found, {self.kept:,} kept."]
        for kind, count in self.counts().items():
            lines.append(f"  {kind}: {count:,}")
            of_kind = [r for r in self.rejected if r.kind == kind]
            lines += [f"    {r.id} ({r.where}): {r.reason}" for r in of_kind[:3]]
            lines += [f"    and {count - 3:,} more"] if count > 3 else []
        lines += [f"  Note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Report:
        """Read what `to_dict` wrote."""
        rejected = [Rejection(**r) for r in data["rejected"]]
        return cls(int(data["found"]), int(data["kept"]), rejected, list(data["notes"]))
