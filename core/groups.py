"""Errors that are the same but for their numbers, names and times, told by one group."""

from __future__ import annotations

import hashlib
import re

from core.recipe import ActionStep, Recipe, without_indexes
from data.job_records import Error

LONGEST = 8_000
"""Characters of a message that tell its group."""

# Nothing is given back, and most alternatives begin only where a word does: the time is that of a look at each letter.
_VARYING = re.compile(
    r"""
    (?<!\w)(?![A-Za-z]++(?:[\s;)]|$))(?:                                    # no plain word
        [A-Za-z][A-Za-z0-9+.-]{1,30}+://[^\s"'<>]*[^\s"'<>:,;.)\]]           # URLs
      | (?<![.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)*+                         # addresses of mail
      | [A-Za-z]:\\[^\s"'<>|:]++                                           # paths
      | (?<![/.])(?:~|\.{1,2})?+/[^\s"'`:,;()<>]++
      | (?<![/.-])[\w.-]++/(?:[\w.-]++/)*+[\w-]++(?:\.[\w-]++)++
      | (?<![/.-])(?:[\w-]++\.)++(?:csv|docx?|gz|jsonl?|log|pdf|txt|xlsx?|xml|ya?ml|zip)(?![\w.(\[])
      | (?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),\ )?+\d{1,2}+\ (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\ \d{4}
        (?:\ \d\d:\d\d:\d\d(?:\ (?:GMT|UTC|[+-]\d{4}))?+)?+             # times, as RFC 5322 and RFC 3339
      | \d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d++)?+)?+(?:\ ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?+)?+
      | \d{1,2}:\d\d(?::\d\d(?:[.,]\d++)?+)?+(?!\w)
      | (?<!:)(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])            # IPv6
      | [0-9a-fA-F]{8}-[0-9a-fA-F-]{27}(?!\w)                              # UUIDs
      | (?=[0-9a-fA-F]*[0-9])(?:0x)?[0-9a-fA-F]{7,}+(?!\w) | 0x[0-9a-fA-F]++
    )
    | (?<!\\)"(?:[^"\\]++|\\.)*+"                                         # what is quoted
    | (?<![\w\\])'(?:[^'\\]++|\\.)*+'(?!\w)                             # but for the apostrophe of a word
    | `[^`]*+` | [“„][^“”]*+[“”] | «[^«»]*+»
    | (?<![0-9A-Za-z])(?=[A-Za-z]*+[0-9])[0-9A-Za-z]{10,}+                 # ids
    | (?:(?<![\w.)\]])[+-])?+\d++(?:[.,]\d++)*+                            # numbers
    """,
    re.VERBOSE,
)
_LISTED = re.compile(r"#(?:,[ ]?#)++")


def error_group(error: Error, recipe: Recipe | str) -> str:
    """Return the group of an error: the same for the same action, kind, step, status and message but for what varies.

    A step is told by its id, not by its place: it keeps its groups when another is put before it, and over the turns of
    a loop.
    """
    step = action = ""
    if error.step:
        step = without_indexes(error.step)
        declared = next((s for s in recipe.walk() if s.path == step), None) if isinstance(recipe, Recipe) else None
        step = declared.id if declared else step
        action = declared.action.name if isinstance(declared, ActionStep) else ""
    status = "" if error.status is None else str(error.status)
    same = "\0".join([action, error.kind, step, status, same_message(error.message)])
    return hashlib.sha256(same.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def same_message(message: str) -> str:
    """Return a message with `#` for what varies in it: quoted texts, paths, addresses, times, ids, numbers."""
    return _LISTED.sub("#", _VARYING.sub("#", message[:LONGEST]))
