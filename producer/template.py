"""Message templates: Liquid, as far as a text message needs it.

`{{ name }}`, the filters of Qikberry's document (`producer.template_filters`) and `if`, `unless`, `case`, `for`,
`assign`; no includes. Everything is bounded: template, values, results of filters, rounds of loops, output.

    template = Template.parse("Hi {{ name | default: 'there' }}, order {{ order }} is ready")
    template.variables            # ("name", "order")
    template.render({"name": "", "order": "A-17"})

A template of plain names and text is compiled to one format string: the same result as Liquid's, twenty times as fast.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.output import OutputNode
from liquid.context import RenderContext
from liquid.exceptions import LiquidError, UndefinedError
from liquid.template import BoundTemplate

from producer.template_engine import LIMITS, MAX_OUTPUT, NEGATIVE, TAGS, environment
from producer.template_errors import MissingVariable, RenderError, TemplateError, position
from producer.template_filters import FILTERS, MAX_VALUE, check_use

__all__ = ["MAX_OUTPUT", "MAX_TEMPLATE", "MissingVariable", "RenderError", "Template", "TemplateError"]

MAX_TEMPLATE = 5_000
MAX_EXPRESSION = 500
"""In characters, as `MAX_OUTPUT`."""

_LIQUID_GLOBALS = frozenset({"now", "today"})
"""Names that Liquid answers by the clock; here they are columns like others, since a text must not change by itself.
"""

_PLAIN = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_NAME = re.compile(r"\w[\w-]*\??").fullmatch
_OPEN = re.compile(r"\{\{|\{%")
_KEYWORDS = _LIQUID_GLOBALS | frozenset(
    {"true", "false", "nil", "null", "empty", "blank", "and", "or", "contains", "in", "not", "if", "else", "as"}
    | {"by", "cols", "continue", "for", "limit", "offset", "required", "reversed", "with"}
)


_ENVIRONMENT = environment()


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. `variables` are the names it uses, in order; `required` those it cannot do without."""

    source: str
    variables: tuple[str, ...]
    required: tuple[str, ...]
    _liquid: BoundTemplate
    _format: str | None
    _missing: str | None

    @classmethod
    def parse(cls, source: str, *, missing: str | None = None) -> Template:
        """Read a template, or raise `TemplateError` with line, column and what to do.

        `missing`: what stands for a variable that a row has not; None: `render` raises `MissingVariable`.
        """
        _scan(source)
        liquid = _parse_liquid(source)
        variables = _names(source, liquid)
        required = () if missing is not None else tuple(dict.fromkeys(_required(liquid.nodes, variables)))
        made = cls(source, variables, required, liquid, _compile(source), missing)
        if made.is_constant:
            _check_constant(made)
        return made

    @property
    def is_constant(self) -> bool:
        """Whether every row gets the same text."""
        return not self.variables

    def render(self, row: Mapping[str, str]) -> str:
        """The text for one row. `MissingVariable` or another `RenderError` if there is none."""
        if self._format is None:
            return self._render_liquid(row)
        try:
            text = self._format % row
        except KeyError as error:
            if self._missing is None:
                raise MissingVariable(str(error.args[0])) from None
            return self.render(self._filled(row))
        if len(text) > MAX_VALUE:  # only then can a value or the whole be too long
            _check_values(row, self.variables)
            _check_output(text)
        return text

    def _render_liquid(self, row: Mapping[str, str]) -> str:
        row = row if self._missing is None else self._filled(row)
        _check_values(row, self.variables)
        for name in _LIQUID_GLOBALS.intersection(self.variables):
            if name not in row:
                raise MissingVariable(name)
        try:
            text = self._liquid.render(row)
        except UndefinedError as error:
            raise MissingVariable(_name_of(error)) from error
        except LiquidError as error:
            raise RenderError(LIMITS.get(type(error)) or str(error.message)) from error
        except RecursionError as error:
            raise RenderError("the template is nested too deep") from error
        _check_output(text)
        return text

    def _filled(self, row: Mapping[str, str]) -> dict[str, str]:
        return dict.fromkeys(self.variables, self._missing or "") | dict(row)


def _scan(source: str) -> None:
    """Refuse in one pass what Liquid's lexer would need seconds for, or would take as text."""
    if len(source) > MAX_TEMPLATE:
        raise TemplateError(1, 1, f"{len(source)} characters are too long", f"use {MAX_TEMPLATE} at most")
    at = 0
    while (start := _OPEN.search(source, at)) is not None:
        close = "}}" if start[0] == "{{" else "%}"
        where = position(source, start.start())
        end = source.find(close, start.end())
        inner = _OPEN.search(source, start.end())
        if end < 0 or (inner is not None and inner.start() < end):
            raise TemplateError(
                *position(source, start.start()), f"{start[0]} is not closed", f"write {close} after it"
            )
        if end - start.end() > MAX_EXPRESSION:
            raise TemplateError(*where, "too long an expression", f"at most {MAX_EXPRESSION}")
        if start[0] == "{%":
            _scan_tag(source, start.end(), end)
        at = end + 2


def _scan_tag(source: str, start: int, end: int) -> None:
    words = source[start:end].strip("- \t\r\n").split(None, 1)
    if not words or words[0] not in TAGS:
        found = words[0] if words else ""
        raise TemplateError(
            *position(source, start), f"tag '{found}' is not allowed", "use if, unless, case, for or assign"
        )


def _parse_liquid(source: str) -> BoundTemplate:
    try:
        liquid = _ENVIRONMENT.from_string(source)
        for used in _filters(liquid.nodes, RenderContext(liquid)):
            check_use(used)
    except LiquidError as error:
        raise _template_error(source, error) from error
    except RecursionError as error:
        raise TemplateError(1, 1, "nested too deep", "use fewer conditions") from error
    return liquid


def _names(source: str, liquid: BoundTemplate) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(liquid.global_variables()))
    for name in names:
        if not _NAME(name):  # [jump].name: columns have no names that are found by other columns
            raise TemplateError(*position(source, max(source.find("["), 0)), f"{name} is no name", "write {{ name }}")
    return names


def _filters(nodes: Iterable[Node], context: RenderContext) -> Iterator[Filter]:
    """Every use of a filter; Liquid itself looks at their names and arguments only when it renders."""
    for node in nodes:
        for expression in node.expressions():
            if isinstance(expression, FilteredExpression):
                yield from expression.filters or ()
        yield from _filters(node.children(context), context)


def _template_error(source: str, error: LiquidError) -> TemplateError:
    at = error.token.start_index if error.token is not None and error.token.start_index >= 0 else 0
    return TemplateError(*position(source, at), str(error.message), _hint(str(error.message)))


def _hint(message: str) -> str:
    if "unknown filter" in message:
        return "the filters are " + ", ".join(FILTERS)
    if message == NEGATIVE:
        return "write 0 or more"
    return "write {{ name }}, {{ name | filter: 'text' }} or {% if name %}…{% endif %}, texts in quotes"


def _compile(source: str) -> str | None:
    """A format string with the names as keys, if the template is nothing but text and plain names."""
    pieces = _PLAIN.split(source)
    texts, names = pieces[::2], pieces[1::2]
    if any(_OPEN.search(text) for text in texts) or _KEYWORDS.intersection(names):
        return None
    slots = [f"%({name})s" for name in names] + [""]
    return "".join(text.replace("%", "%%") + slot for text, slot in zip(texts, slots, strict=True))


def _check_constant(template: Template) -> None:
    """Without variables there is no row to blame: what makes no text is a wrong template."""
    try:
        template.render({})
    except RenderError as error:
        raise TemplateError(1, 1, str(error), "it holds no variable, so no row could get a text") from error


def _required(nodes: list[Node], variables: Collection[str]) -> Iterator[str]:
    """Variables whose output stands outside every condition and is not caught by `default`; not what is assigned."""
    own = {str(name) for node in nodes for name in node.template_scope()}
    wanted = set(variables) - own
    for node in nodes:
        if isinstance(node, OutputNode) and isinstance(node.expression, FilteredExpression):
            expression = node.expression
            caught = expression.filters and expression.filters[0].name == "default"
            if isinstance(expression.left, Path) and not caught and str(expression.left.path[0]) in wanted:
                yield str(expression.left.path[0])


def _name_of(error: UndefinedError) -> str:
    return str(error.message).removesuffix(" is undefined").strip("'")


def _check_values(row: Mapping[str, str], names: tuple[str, ...]) -> None:
    for name in names:
        if len(row.get(name, "")) > MAX_VALUE:
            raise RenderError(f"the value of {name} is longer than {MAX_VALUE} characters")


def _check_output(text: str) -> None:
    if len(text) > MAX_OUTPUT:
        raise RenderError(f"the text is longer than {MAX_OUTPUT} characters")
