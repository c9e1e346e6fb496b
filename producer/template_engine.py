"""The Liquid that templates are read and rendered by: few tags, Qikberry's filters, and a limit on everything.

python-liquid counts the output, the names and the depth by itself. Three things it does not: loops that follow each
other are not added up, `reversed` builds its whole list before anything is counted, and a negative limit ends in an
exception of Python's own. All are stopped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any, TextIO

from liquid import Environment, Mode, Token
from liquid.ast import BlockNode
from liquid.builtin.expressions import LoopExpression
from liquid.builtin.expressions.primitive import Literal
from liquid.builtin.tags.for_tag import ForNode, ForTag
from liquid.context import RenderContext
from liquid.exceptions import (
    ContextDepthError,
    LiquidError,
    LiquidSyntaxError,
    LiquidValueError,
    LocalNamespaceLimitError,
    LoopIterationLimitError,
    OutputStreamLimitError,
)
from liquid.limits import to_int
from liquid.output import LimitedStringIO
from liquid.template import BoundTemplate
from liquid.undefined import FalsyStrictUndefined

from producer.template_filters import install

MAX_OUTPUT = 5_000
"""In characters; the longest message a provider takes is 4,000 bytes (Qikli's platform) or 1,600 characters."""
MAX_ROUNDS = 100
"""Rounds of all loops of one text together, inner ones counted each time. A message has no room for more."""
MAX_NAMES = 100_000
"""Bytes of everything that `assign` keeps, as Python counts the objects themselves."""
MAX_NESTING = 10
_BELOW = 5  # namespaces under the first block: Liquid counts those too

TAGS = (
    *("if", "elsif", "else", "endif", "unless", "endunless", "case", "when", "endcase"),
    *("for", "endfor", "break", "continue", "assign"),
)
"""Every word that may begin a tag."""
_BUILT_IN_TAGS = ("if", "unless", "case", "break", "continue", "assign")


class Absent(FalsyStrictUndefined):
    """A variable that the row has not: false in conditions, replaced by `default`, an error anywhere else."""

    force_liquid_default = True


class _Context(RenderContext):
    """Adds up the rounds of all loops."""

    __slots__ = ("rounds",)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.rounds = 0

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Asked once for each loop that begins."""
        self.rounds += length
        if self.rounds > MAX_ROUNDS:
            raise _too_many_rounds()
        super().raise_for_loop_limit(length)


class _ForNode(ForNode):
    __slots__ = ()

    def __init__(
        self, token: Token, expression: LoopExpression, block: BlockNode, default: BlockNode | None = None
    ) -> None:
        """A constant that no loop can have is the template's fault, not that of every row."""
        super().__init__(token, expression, block, default)
        for bound in (expression.limit, expression.offset):
            if isinstance(bound, Literal) and _is_negative(bound.value):
                raise LiquidSyntaxError(NEGATIVE, token=bound.token)

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Looked at before the loop is set up: `reversed` would make a list of a thousand million numbers first."""
        for bound in (self.expression.limit, self.expression.offset):
            if bound is not None and _is_negative(bound.evaluate(context)):
                raise LiquidValueError(NEGATIVE, token=bound.token)
        over = self.expression.iterable.evaluate(context)
        if isinstance(over, range | list | tuple) and over[MAX_ROUNDS:]:
            raise _too_many_rounds()
        return super().render_to_output(context, buffer)


class _ForTag(ForTag):
    node_class = _ForNode


NEGATIVE = "limit and offset of a loop must not be negative"
"""Said of the template where it is a constant, of a row where it is computed."""


def _is_negative(value: object) -> bool:
    """As Liquid would count it. What is no number at all is Liquid's to refuse, in its own words."""
    try:
        return to_int(value) < 0
    except (ValueError, TypeError, OverflowError):
        return False


def _too_many_rounds() -> LiquidError:
    return LoopIterationLimitError("", token=None)


LIMITS: Mapping[type[LiquidError], str] = {
    LoopIterationLimitError: f"the loops go round more than {MAX_ROUNDS} times",
    OutputStreamLimitError: f"the text is longer than {MAX_OUTPUT} characters",
    LocalNamespaceLimitError: f"what is assigned takes more than {MAX_NAMES} bytes",
    ContextDepthError: f"blocks are nested more than {MAX_NESTING} deep",
}
"""What a text that meets a limit is refused with."""


class _Bound(BoundTemplate):
    context_class = _Context

    def _get_buffer(self) -> StringIO:
        return LimitedStringIO(limit=4 * MAX_OUTPUT, newline="")  # "": a line end stays what it is


class _Environment(Environment):
    template_class = _Bound
    loop_iteration_limit = MAX_ROUNDS
    local_namespace_limit = MAX_NAMES
    output_stream_limit = 4 * MAX_OUTPUT  # in bytes, Liquid counts UTF-8
    block_nesting_limit = MAX_NESTING
    context_depth_limit = MAX_NESTING + _BELOW
    undefined = Absent


def environment() -> Environment:
    """With the tags of `TAGS` and the filters of `producer.template_filters` alone."""
    made = _Environment(tolerance=Mode.STRICT, undefined=Absent)
    literal = [name for name in made.tags if not name.isidentifier() or name in ("content", "output", "illegal")]
    made.tags = {name: made.tags[name] for name in (*literal, *_BUILT_IN_TAGS)}
    made.add_tag(_ForTag)
    install(made)
    return made
