"""What can be wrong with a template, and with a row that meets it."""

from __future__ import annotations


class TemplateError(ValueError):
    """The template does not parse. `line` and `column` count from 1; `hint` says what to do."""

    def __init__(self, line: int, column: int, problem: str, hint: str) -> None:
        super().__init__(f"template line {line}, column {column}: {problem}; {hint}")
        self.line = line
        self.column = column
        self.problem = problem
        self.hint = hint


class RenderError(ValueError):
    """The template makes no text of this row. The message holds no value of the row, so it may be logged."""


class MissingVariable(RenderError):
    """The row has no value for a variable that the template uses."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no value for {name}")
        self.name = name


def position(source: str, index: int) -> tuple[int, int]:
    """Line and column of a place in a text, both from 1."""
    return source.count("\n", 0, index) + 1, index - (source.rfind("\n", 0, index) + 1) + 1
