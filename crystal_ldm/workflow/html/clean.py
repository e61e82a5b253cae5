"""HTML and figures without scripts and without outside addresses."""

from __future__ import annotations

import re
from typing import Any

_SCHEME = re.compile(r"\b(?:https?|wss?|ftp):/{2}", re.IGNORECASE)
_OUTSIDE = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
_INSIDE = re.compile(r"^\s*data:image/", re.IGNORECASE)
_CSS_ADDRESS = re.compile(r"@import[^;]*;?|url\(\s*['\"]?(?!data:image/|#)[^)]*\)", re.IGNORECASE)
_ADDRESSES = {"src", "href", "xlink:href"}
# What reports have beside nh3's own list: tables' styles, folded code, matplotlib's drawings.
_TAGS = {"style", "section", "main", "details", "summary", "svg", "g", "defs", "symbol", "use"}
_TAGS |= {"path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan"}
_TAGS |= {"clipPath", "linearGradient", "radialGradient", "stop"}
_ATTRIBUTES = {"class", "id", "style", "title", "role", "tabindex", "open", "colspan", "rowspan"}
_ATTRIBUTES |= {"align", "valign", "border", "scope", "headers", "alt", "width", "height", "src"}
_ATTRIBUTES |= {"href", "xlink:href", "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx"}
_ATTRIBUTES |= {"ry", "dx", "dy", "points", "transform", "viewBox", "version", "fill", "offset"}
_ATTRIBUTES |= {"preserveAspectRatio", "clip-path", "clip-rule", "fill-rule", "fill-opacity"}
_ATTRIBUTES |= {"opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray"}
_ATTRIBUTES |= {"stroke-linecap", "stroke-linejoin", "font-family", "font-size", "font-style"}
_ATTRIBUTES |= {"font-weight", "text-anchor", "stop-color", "stop-opacity", "gradientUnits"}


def clean_html(text: str) -> str:
    """Return HTML without scripts, event handlers, embedded pages and outside addresses.

    An outside link becomes its text with the address behind it, without `https://`; an outside
    picture becomes its description. Relative addresses stay. What is not known to be harmless
    goes (nh3's list of tags, and those of tables, folded code and drawings).
    """
    import nh3

    return nh3.clean(
        _without_outside_addresses(text),
        tags=nh3.ALLOWED_TAGS | _TAGS,
        clean_content_tags={"script", "noscript", "iframe", "object", "embed"},
        attributes={"*": _ATTRIBUTES},
        attribute_filter=_kept,
        generic_attribute_prefixes={"data-", "aria-"},
        url_schemes={"data"},
        link_rel=None,
    )


def without_addresses(value: Any) -> Any:
    """Return JSON data with `https://` taken out of every text in it."""
    if isinstance(value, str):
        return _SCHEME.sub("", value)
    if isinstance(value, dict):
        return {key: without_addresses(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_addresses(item) for item in value]
    return value


def _kept(tag: str, name: str, value: str) -> str | None:
    """Return what stays of an attribute; None: nothing."""
    if name in _ADDRESSES:
        return None if _OUTSIDE.match(value) and not _INSIDE.match(value) else value
    return _SCHEME.sub("", _CSS_ADDRESS.sub("none", value) if name == "style" else value)


def _without_outside_addresses(text: str) -> str:
    """Return HTML in which outside addresses are text, where nh3 would drop them unsaid."""
    from bs4 import BeautifulSoup
    from bs4.element import Tag

    soup = BeautifulSoup(text, "html.parser")
    for tag in soup(["a", "img", "style"]):
        if not isinstance(tag, Tag):
            continue
        address = str(tag.get("href") or tag.get("src") or "").strip()
        if tag.name == "style":
            tag.string = _CSS_ADDRESS.sub("none", tag.get_text())
        elif _OUTSIDE.match(address) and not _INSIDE.match(address):
            shown = _SCHEME.sub("", address)
            if tag.name == "img":
                tag.name = "span"
                tag.string = str(tag.get("alt") or "picture from outside, left out")
            elif _SCHEME.match(address) and shown not in tag.get_text():
                tag.append(f" ({shown})")
    for string in soup.find_all(string=_SCHEME):
        string.replace_with(type(string)(_SCHEME.sub("", str(string))))
    return str(soup)
