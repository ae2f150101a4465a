"""What an expression names and is not there: `default` and `is defined` may ask for it, any other use is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2.runtime import StrictUndefined
from jinja2.utils import missing

from core.expressions.errors import kind, nearest, spelled


class Used(Exception):
    """An undefined value was used."""

    def __init__(self, undefined: Missing) -> None:
        super().__init__()
        self.undefined = undefined


class Missing(StrictUndefined):
    """What is not there, nor are attributes of it; `base` spells what it was looked for in."""

    __slots__ = ("base", "rest")

    def __init__(self, hint: str | None = None, obj: Any = missing, name: Any = None, base: str = "") -> None:
        super().__init__(hint, obj, name, Used)  # type: ignore[arg-type]
        self.base, self.rest = base, ""

    @property
    def _undefined_message(self) -> Missing:  # type: ignore[override]
        return self  # what Jinja makes the exception of

    __index__ = StrictUndefined._fail_with_undefined_error

    def beyond(self, key: object) -> Missing:
        """Return the undefined value for `key` of this one."""
        further = Missing(self._undefined_hint, self._undefined_obj, self._undefined_name, self.base)
        further.rest = (self.rest + spelled(key))[:200]
        return further

    def reason(self, names: Mapping[str, object]) -> tuple[str, str | None]:
        """Return why it is undefined, and the nearest thing that is there."""
        if self._undefined_hint:
            return self._undefined_hint, None
        key, top = self._undefined_name, self._undefined_obj is missing
        holder = names if top else self._undefined_obj
        here = str(key) if top else self.base + spelled(key)
        reason = f"{here}{self.rest} is undefined" + (f": there is no {here}" if self.rest else "")
        if isinstance(holder, Mapping):
            near = nearest(key, holder)
            return reason, near if near is None or top else self.base + spelled(near)
        size = f" of {len(holder)}" if isinstance(holder, list) else ""
        return f"{reason}: {self.base} is {kind(holder)}{size}", None


def require(*values: object) -> None:
    """Raise Used for the first of `values` that is not there."""
    for value in values:
        if isinstance(value, Missing):
            raise Used(value)
