"""Text from outside made safe to show and to store: what a terminal would obey, or could not show, becomes visible."""

from __future__ import annotations

import re
import unicodedata

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u3164\uffa0"  # invisible: soft hyphen, joiners, fillers
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero-width, separators, bidi, annotation
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"  # shorthand, music, tags
    "\ud800-\udfff]"  # lone surrogates: no encoding can write them
)
_NAMES = {
    "\xad": "SHY",
    "\u034f": "CGJ",
    "\u061c": "ALM",
    "\u180e": "MVS",
    "\u200b": "ZWSP",
    "\u200c": "ZWNJ",
    "\u200d": "ZWJ",
    "\u200e": "LRM",
    "\u200f": "RLM",
    "\u2028": "LS",
    "\u2029": "PS",
    "\u202a": "LRE",
    "\u202b": "RLE",
    "\u202c": "PDF",
    "\u202d": "LRO",
    "\u202e": "RLO",
    "\u2060": "WJ",
    "\u2066": "LRI",
    "\u2067": "RLI",
    "\u2068": "FSI",
    "\u2069": "PDI",
    "\ufeff": "BOM",
}
_PIECE = 256
_TAB = 4


def safe(text: str, limit: int | None = None) -> str:
    """Return `text` as one line that is safe on a terminal, of at most `limit` characters, then cut with `…`.

    A newline shows as `⏎`, a tab as a space; control, bidi and zero-width characters and lone surrogates as visible
    stand-ins (`^[`, `\\x9b`, `<RLO>`, `\\ud800`); the rest in Unicode's normalization form C.
    """
    # No stand-in is shorter than its character, and composing joins two or three into one.
    head = text if limit is None else text[: limit * 4]
    shown = _visible(head.replace("\r\n", "⏎").replace("\n", "⏎").replace("\t", " "))
    if limit is not None and (len(shown) > limit or len(head) < len(text)):
        return shown[: max(limit - 1, 0)] + "…"[:limit]
    return shown


def safe_block(text: str) -> str:
    """Return `text` as lines that are safe on a terminal: as `safe`, but newlines stay, tabs fill up to stops."""
    lines = text.replace("\r\n", "\n").split("\n")
    # Stand-ins first: a tab stop counts what is shown. `\r` alone would set expandtabs back to column 0.
    return "\n".join("\t".join(map(_visible, line.split("\t"))).expandtabs(_TAB) for line in lines)


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_stand_in, text if text.isascii() else _composed(text))


def _composed(text: str) -> str:
    # In pieces, because composing takes time in the square of a run of accents, which a sender could make long.
    return "".join(unicodedata.normalize("NFC", text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))


def _stand_in(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return "^" + chr(code ^ 0x40)
    if code < 0xA0:
        return f"\\x{code:02x}"
    if 0xD800 <= code <= 0xDFFF:
        return f"\\u{code:04x}"
    return f"<{_NAMES.get(character, f'U+{code:04X}')}>"


def storable(text: str) -> str:
    """Return `text` with lone surrogates, which no database can keep, written out: `\\ud800`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
