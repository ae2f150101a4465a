"""Every error that the core raises on purpose.

JobdeckError
├── UsageError            wrong words of a caller: exit status 2
├── WorkspaceError        no workspace, or its settings are wrong
│   └── EngineHeld        another engine holds the workspace
├── StoreError            (data.errors) the database cannot be used
├── RecipeProblems        a recipe's file is wrong: file, line, column, message
├── NotFound              no such job, version, recipe
├── Refused               a rule forbids it: code and sentence
├── ExpressionError       (core.expressions) an expression cannot be evaluated
└── StepError             an action or trigger failed
    ├── AnswerLost        a call was sent and its answer never came: it may or may not have acted
    └── StepTimeout       a call was given up at its timeout
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.errors import JobdeckError, StoreError

if TYPE_CHECKING:
    from data.records import Problem

__all__ = [
    "AnswerLost", "EngineHeld", "JobdeckError", "NotFound", "RecipeProblems", "Refused", "StepError", "StepTimeout",
    "StoreError", "UsageError", "WorkspaceError",
]


class UsageError(JobdeckError):
    """The caller's words are wrong."""


class WorkspaceError(JobdeckError):
    """There is no workspace, or its settings are wrong."""


class EngineHeld(WorkspaceError):
    """Another engine holds the workspace."""


class RecipeProblems(JobdeckError):
    """A recipe's file is wrong; `problems` says where and what, `warnings` what else was probably not meant."""

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)


class NotFound(JobdeckError):
    """There is no such thing."""


class Refused(JobdeckError):
    """A rule forbids it; `code` is for scripts, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StepError(JobdeckError):
    """An action or a trigger failed; `kind` groups such errors, `status` is the other side's, where it gave one."""

    def __init__(self, message: str, kind: str = "action", status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


class AnswerLost(StepError):
    """A call was sent and its answer never came; only raise it where the other side may have acted."""

    def __init__(self, message: str, kind: str = "answer_lost") -> None:
        super().__init__(message, kind)


class StepTimeout(StepError):
    """A call was given up at its timeout before anything was sent, or it was a reading one."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "timeout")
