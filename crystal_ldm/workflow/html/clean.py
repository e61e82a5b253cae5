"""HTML and figures without scripts and without outside addresses."""

from __future__ import annotations

import re
from typing import Any

_FORBIDDEN = ("script", "iframe", "object", "embed", "link", "meta", "base", "form", "noscript")
_SCHEME = re.compile(r"\b(?:https?|wss?|ftp):/{2}", re.IGNORECASE)
_OUTSIDE = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
_INSIDE = re.compile(r"^\s*(?:data:image/|#)", re.IGNORECASE)
_CSS_ADDRESS = re.compile(r"@import[^;]*;?|url\(\s*['\"]?(?!data:|#)[^)]*\)", re.IGNORECASE)
_ADDRESSES = ("src", "href", "xlink:href", "srcset", "poster", "action", "formaction", "data")


def clean_html(text: str) -> str:
    """Return HTML without scripts, event handlers, embedded pages and outside addresses.

    An outside link becomes its text with the address behind it, without `https://`; an outside
    picture becomes its description. Relative addresses stay.
    """
    from bs4 import BeautifulSoup, Comment
    from bs4.element import Tag

    soup = BeautifulSoup(text, "html.parser")
    for tag in soup(_FORBIDDEN):
        tag.decompose()
    for comment in soup.find_all(string=lambda string: isinstance(string, Comment)):
        comment.extract()
    for tag in soup.find_all(True):
        if isinstance(tag, Tag):
            _clean_tag(tag)
    for string in soup.find_all(string=_SCHEME):
        string.replace_with(type(string)(_SCHEME.sub("", str(string))))
    return str(soup)


def without_addresses(value: Any) -> Any:
    """Return JSON data with `https://` taken out of every text in it."""
    if isinstance(value, str):
        return _SCHEME.sub("", value)
    if isinstance(value, dict):
        return {key: without_addresses(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_addresses(item) for item in value]
    return value


def _clean_tag(tag: Any) -> None:
    for name in list(tag.attrs):
        value = tag.attrs[name]
        text = " ".join(value) if isinstance(value, list) else str(value or "")
        lower = name.lower()
        if lower.startswith(("on", "xmlns")):
            del tag.attrs[name]
        elif lower in _ADDRESSES:
            if _OUTSIDE.match(text) and not _INSIDE.match(text):
                del tag.attrs[name]
                _show_address(tag, text)
        elif _SCHEME.search(text) or (lower == "style" and _CSS_ADDRESS.search(text)):
            tag.attrs[name] = _SCHEME.sub("", _CSS_ADDRESS.sub("none", text))
    if tag.name == "style" and tag.string:
        tag.string = _SCHEME.sub("", _CSS_ADDRESS.sub("none", tag.string))


def _show_address(tag: Any, address: str) -> None:
    shown = _SCHEME.sub("", address.strip())
    if tag.name == "img":
        tag.name = "span"
        tag.string = tag.attrs.pop("alt", "") or "picture from outside, left out"
    elif tag.name == "a" and _SCHEME.match(address.strip()) and shown not in tag.get_text():
        tag.append(f" ({shown})")
