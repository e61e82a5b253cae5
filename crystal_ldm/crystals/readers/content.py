"""Bytes and text of files as people have them: packed, in any usual encoding, of sane size."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import suppress
from pathlib import Path

from crystal_ldm.errors import DataError
from crystal_ldm.files.paths import in_home

MAX_STRUCTURE_BYTES = 64 * 2**20
"""Largest file of one crystal."""

_PACKED_RATIO = 100
"""Text packs to a twentieth at best; what grows more than this is no data."""


def existing(path: str | Path) -> Path:
    """Return `path` with `~` replaced.

    Raises:
        DataError: if there is no such file or folder, or no path can be so.
    """
    shown = shortened(path)
    try:
        found = in_home(path)
        if found.exists():
            return found
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"'{shown}' cannot be a path here ({reason}).") from None
    raise DataError(f"There is no file or folder '{shown}'.")


def shortened(path: str | Path) -> str:
    """Return a path for a message; one without end is cut."""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:200]}…"


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """Return a file's bytes, unpacked if they are gzip's.

    Args:
        path: the file.
        limit: largest number of bytes, unpacked; None: no other than that of packing.

    Raises:
        DataError: if it cannot be read, is cut short or too large.
    """
    try:
        if limit is not None and path.stat().st_size > limit:
            raise _too_large(limit)
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"The file cannot be read ({error.strerror or error}).") from error
    if raw[:2] != b"\x1f\x8b":
        if path.suffix.lower() == ".gz":
            raise DataError("The file cannot be read (it is not packed with gzip).")
        return raw
    return _unpack(raw, limit)


def read_text(path: Path, limit: int | None = None) -> str:
    """Return a file's text (see `read_bytes` and `decode`)."""
    return decode(read_bytes(path, limit))


def decode(raw: bytes) -> str:
    """Return text in UTF-8, UTF-16 (by its byte order mark or zeros), Windows-1252 or Latin-1.

    Raises:
        DataError: if it is no text.
    """
    try:
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return raw.decode("utf-16")
        start = raw[:200]
        if len(start) > 3 and not any(start[1::2]):
            return raw.decode("utf-16-le")
        if len(start) > 3 and not any(start[::2]):
            return raw.decode("utf-16-be")
    except UnicodeDecodeError as error:
        raise DataError(f"The text in UTF-16 is damaged or cut short ({error.reason}).") from error
    if b"\0" in start:
        raise DataError("The file is not text.")
    # Windows-1252 is Latin-1 with quotes and dashes in place of control characters.
    for encoding in ("utf-8-sig", "cp1252"):
        with suppress(UnicodeDecodeError):
            return raw.decode(encoding)
    return raw.decode("latin-1")


def _unpack(raw: bytes, limit: int | None) -> bytes:
    most = max(MAX_STRUCTURE_BYTES, _PACKED_RATIO * len(raw))
    most = most if limit is None else min(limit, most)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            content = file.read(most + 1)
    except EOFError:
        raise DataError("The file cannot be read (it is cut short).") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"The file cannot be read ({error}); it is damaged.") from error
    if len(content) > most:
        raise _too_large(most)
    return content


def _too_large(limit: int) -> DataError:
    return DataError(f"The file cannot be read: it is larger than {limit / 2**20:,.0f} MiB.")
