"""Finding the text of a recipe in JSON files, CIFs and zip archives, within bounds."""

from __future__ import annotations

import base64
import binascii
import io
import re
import zipfile
import zlib
from pathlib import Path

from crystal_ldm.errors import DataError

MAX_BYTES = 16 * 2**20  # of a recipe's text
MAX_FILE_BYTES = 512 * 2**20  # of an archive that holds one
TAG = "_crystal_ldm_recipe"

_READABLE_BYTES = 8192  # longer recipes go into a CIF compressed
_PACKED = "zlib-base64"
_LINE = 76
_FIELD = re.compile(rf"^{TAG}[ \t]*\n;([^\n]*)\n(.*?)\n;", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^data_[^\n]*\n", re.MULTILINE | re.IGNORECASE)


def recipe_text(file: Path | str | bytes, name: str) -> str:
    """Return the JSON text of the recipe in `file`, told apart by content and not by suffix.

    Raises:
        DataError: the file cannot be read, is too large, or holds no recipe.
    """
    content = file if isinstance(file, bytes) else _read(Path(file), name)
    if content.startswith(b"PK\x03\x04"):
        return _from_zip(content, name)
    return _from_text(content, name)


def cif_text(cif: str, text: str) -> str:
    """Return `cif` with the recipe `text` as a data item at the start of its data block.

    A text field survives pymatgen and ASE, which pass over items that they do not know.

    Raises:
        DataError: there is no data block.
    """
    cif = cif.replace("\r\n", "\n")
    block = _BLOCK.search(cif)
    if block is None:
        raise DataError("The recipe cannot go into a CIF without a data block ('data_...').")
    head, body = "json", text
    if len(text) > _READABLE_BYTES or any(line.startswith(";") for line in text.split("\n")):
        head = _PACKED
        packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
        body = "\n".join(packed[i : i + _LINE] for i in range(0, len(packed), _LINE))
    return f"{cif[: block.end()]}{TAG}\n;{head}\n{body}\n;\n{cif[block.end() :]}"


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{name} cannot be read ({reason}).") from error
    if len(content) > MAX_FILE_BYTES:
        raise DataError(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB: no recipe is.")
    return content


def _from_text(content: bytes, name: str) -> str:
    if len(content) > MAX_BYTES:
        raise DataError(f"{name} is larger than {MAX_BYTES // 2**20} MiB: no recipe is.")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is neither a recipe nor a CIF nor a zip archive.") from error
    if text.lstrip().startswith("{"):
        return text
    field = _FIELD.search(text)
    if field:
        return _unpack(field[2], name) if field[1].strip() == _PACKED else field[2]
    if TAG in text:
        raise DataError(f"The recipe in {name} is damaged or cut short.")
    raise DataError(
        f"{name} holds no recipe. Recipes are in recipe.json and in the CIFs of a run; "
        "a CIF that another program has rewritten has lost it."
    )


def _unpack(packed: str, name: str) -> str:
    try:
        data = base64.b64decode("".join(packed.split()), validate=True)
        decoder = zlib.decompressobj()
        text = decoder.decompress(data, MAX_BYTES)
        if not decoder.eof:
            raise zlib.error("it is cut short or too large")
        return text.decode("utf-8")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise DataError(f"The recipe in {name} is damaged or cut short ({error}).") from error


def _from_zip(content: bytes, name: str) -> str:
    """Read one member, in memory: nothing is ever unpacked to the disk."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            members.sort(key=lambda info: (info.filename.count("/"), info.filename))
            for wanted in ("recipe.json", ".cif"):
                for info in members:
                    if info.filename.lower().endswith(wanted):
                        with archive.open(info) as member:
                            inner = member.read(MAX_BYTES + 1)
                        return _from_text(inner, f"'{info.filename}' in {name}")
    except DataError:  # a ValueError, of a member that was read
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        raise DataError(f"The archive {name} is damaged or cut short ({error}).") from error
    except RuntimeError as error:  # zipfile's, for an encrypted member or an unknown compression
        raise DataError(f"The archive {name} cannot be read ({error}).") from error
    raise DataError(f"The archive {name} holds neither a recipe.json nor a CIF.")
