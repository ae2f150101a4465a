"""Which values are secrets, by the names they stand under; and data with those masked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from data.job_records import JsonValue

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAMES, _VALUES = ("name", "Name", "key", "Key"), ("value", "Value")
"""Under what a pair of a list has its name, and its value, as the headers of a HAR file do."""
_SECRET = re.compile(
    r"(?:passw(?:or[dt]|d)|pwd|passphrase|passcode|secret|token|(?:api|access|private|signing)[_-]?key"
    r"|authori[sz]ation|credential|cookie|signature)s?(?![^\W_])",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def secret_name(name: str) -> bool:
    """Return whether a name, or a path of names, says that what stands there is a secret.

    It does where one of its words is such a word or ends in one, whatever its case: `X-Api-Key`, `csrftoken`,
    `accessToken`, `token_type`, but neither `tokenizer` nor `secretary`.
    """
    return _SECRET.search(_HUMP.sub("_", name)) is not None


def holds_secret(mapping: Mapping[str, JsonValue], key: str) -> bool:
    """Return whether what stands under a key is a secret: by that name, or as the value of a `{name, value}` pair."""
    if key in _VALUES:
        return any(isinstance(name := mapping.get(one), str) and secret_name(name) for one in _NAMES)
    return secret_name(key)


def masked(value: JsonValue, mask: str, name: str = "") -> JsonValue:
    """Return a value with `mask` for each text and number at or below a name that says it is a secret.

    What holds none is the value itself, not a copy. `name` is what the value itself stands under. A value that is
    nested too deeply to be looked through is masked as a whole.
    """
    try:
        return _masked(value, mask, secret_name(name))
    except RecursionError:
        return mask


def _masked(value: JsonValue, mask: str, hidden: bool) -> JsonValue:
    if isinstance(value, (dict, list)):
        changed: JsonValue = None
        for at, inner in value.items() if isinstance(value, dict) else enumerate(value):
            shown = _masked(inner, mask, hidden or (isinstance(at, str) and holds_secret(value, at)))
            if shown is not inner:
                changed = value.copy() if changed is None else changed
                changed[at] = shown
        return value if changed is None else changed
    return mask if hidden and value is not None and value != "" and not isinstance(value, bool) else value
