"""The small language of ``when`` and ``constraints``: parsed here, never handed to Python.

A comparison that uses a name without a value, divides by zero or compares text with numbers is false. Names
of other characters than letters, digits and ``_`` stand in backticks, a backtick in them doubled. Depth and length
are bounded, since a spec may be hostile.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import Any

from kubetuna.experiment.quantities import PAPER, exact

LENGTH_LIMIT = 1024
DEPTH_LIMIT = 50
# Names, numbers and signs: a sum of many terms is as deep as it is long, and evaluated by recursion.
TOKEN_LIMIT = 300

Values = Mapping[str, Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<string>'[^']*'|\"[^\"]*\")"
    r"|`(?P<quoted>(?:[^`]|``)+)`(?!`)|(?P<name>[A-Za-z_]\w*)|(?P<op>==|!=|<=|>=|[-+*/()<>,\[\]]))",
    re.ASCII,
)
# How other languages write them.
_ELSEWHERE = {"&": "and", "|": "or", "!": "not", "=": "=="}
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORDS = frozenset(("and", "or", "not", "in", "true", "false", "null"))
_COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">="))


class ExpressionError(ValueError):
    """A text that is no expression; the message says where."""


class _Undefined(Exception):
    """A comparison that has no value here, and so is false."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a parsed expression: an operator and its operands, or a literal."""

    op: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression. Equal texts are equal expressions."""

    text: str
    root: Node
    names: frozenset[str]

    def evaluate(self, values: Values) -> bool:
        """Whether it holds."""
        return _truth(self.root, values)

    def applies(self, values: Values) -> bool:
        """Whether every name that it uses has a value; a constraint that does not apply is not violated."""
        return self.names <= set(values)

    def violation(self, values: Values) -> float:
        """At most 0 where it holds, above 0 where not: the margin of one plain comparison, else 1."""
        if self.evaluate(values):
            return 0.0 if self.root.op not in ("<", "<=", ">", ">=") else min(0.0, self._margin(values))
        if self.root.op in ("<", "<=", ">", ">="):
            return max(self._margin(values), 1e-12)
        return 1.0

    def _margin(self, values: Values) -> float:
        try:
            left, right = (float(_value(side, values)) for side in self.root.args)
        except (_Undefined, TypeError, ValueError):
            return 1.0
        margin = left - right if self.root.op in ("<", "<=") else right - left
        return margin if math.isfinite(margin) else 1.0


def parse_expression(text: str) -> Expression:
    """Parse one expression.

    Raises:
        ExpressionError: it is none; the message says what was expected where.
    """
    if not isinstance(text, str) or not text.strip():
        raise ExpressionError("must be an expression, such as 'layers >= 3'")
    if len(text) > LENGTH_LIMIT:
        raise ExpressionError(f"may not be more than {LENGTH_LIMIT} characters")
    root = _Parser(text).parse()
    return Expression(text, root, frozenset(_names(root)))


def in_backticks(text: str, names: Iterable[str]) -> str:
    """What to write for a name of other characters that stands in a text as it is; "" where there is none."""
    found = [n for n in names if n in text and not _PLAIN.fullmatch(n) and quoted(n) not in text]
    return f"; write {quoted(max(found, key=len))}, in backticks" if found else ""


def in_quotes(name: str) -> str:
    """What to write for a name that nothing has: a word of this language, or a text."""
    word = {"none": "null"}.get(name.lower(), name.lower())
    return f"; write {word}" if word in _WORDS else f"; a text stands in quotes: '{name}'"


def quoted(name: str) -> str:
    """A name of any characters as it stands in an expression."""
    return "`" + name.replace("`", "``") + "`"


def _names(node: Any) -> Iterator[str]:
    if not isinstance(node, Node):
        return
    if node.op == "name":
        yield node.args[0]
        return
    for child in node.args:
        yield from _names(child)


class _Parser:
    """Recursive descent: or, and, not, comparison, sum, product, unary, atom."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        if len(self._tokens) > TOKEN_LIMIT:
            raise ExpressionError(f"may not have more than {TOKEN_LIMIT} names, numbers and signs")
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._or()
        if self._at < len(self._tokens):
            raise self._error("an operator or the end")
        if node.op not in (*_COMPARISONS, "and", "or", "not", "in", "not in", "true", "false"):
            raise ExpressionError("must be a comparison, as in 'layers >= 3'")
        return node

    def _peek(self) -> tuple[str, Any]:
        kind, value, _ = self._tokens[self._at] if self._at < len(self._tokens) else ("end", "", 0)
        return kind, value

    def _take(self, *wanted: str) -> str | None:
        kind, value = self._peek()
        if kind in ("op", "word") and value in wanted:
            self._at += 1
            return str(value)
        return None

    def _expect(self, wanted: str) -> None:
        if self._take(wanted) is None:
            raise self._error(repr(wanted))

    def _error(self, wanted: str) -> ExpressionError:
        place = self._tokens[self._at][2] if self._at < len(self._tokens) else len(self._text)
        return ExpressionError(f"expected {wanted} at character {place + 1}")

    def _nested(self, rule: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise ExpressionError(f"nested deeper than {DEPTH_LIMIT}")
        node = rule()
        self._depth -= 1
        return node

    def _or(self) -> Node:
        node = self._and()
        while self._take("or"):
            node = Node("or", (node, self._and()))
        return node

    def _and(self) -> Node:
        node = self._not()
        while self._take("and"):
            node = Node("and", (node, self._not()))
        return node

    def _not(self) -> Node:
        if self._take("not"):
            return Node("not", (self._nested(self._not),))
        return self._comparison()

    def _comparison(self) -> Node:
        node = self._sum()
        if self._take("in"):
            return Node("in", (node, self._list()))
        negated = self._at + 1 < len(self._tokens) and self._tokens[self._at + 1][:2] == ("word", "in")
        if negated and self._take("not"):
            self._expect("in")
            return Node("not in", (node, self._list()))
        sign = self._take(*_COMPARISONS)
        if sign is None:
            return node
        node = Node(sign, (node, self._sum()))
        if self._peek()[1] in _COMPARISONS:
            raise ExpressionError("join two comparisons with 'and'")
        return node

    def _list(self) -> Node:
        closing = "]" if self._take("[") else ")"
        if closing == ")":
            self._expect("(")
        items = [self._sum()]
        while self._take(","):
            items.append(self._sum())
        self._expect(closing)
        return Node("list", tuple(items))

    def _sum(self) -> Node:
        node = self._product()
        while sign := self._take("+", "-"):
            node = Node(sign, (node, self._product()))
        return node

    def _product(self) -> Node:
        node = self._unary()
        while sign := self._take("*", "/"):
            node = Node(sign, (node, self._unary()))
        return node

    def _unary(self) -> Node:
        if self._take("-"):
            return Node("negative", (self._nested(self._unary),))
        if self._take("("):
            node = self._nested(self._or)
            self._expect(")")
            return node
        return self._atom()

    def _atom(self) -> Node:
        kind, value = self._peek()
        if kind in ("number", "string", "name") or (kind == "word" and value in ("true", "false", "null")):
            self._at += 1
            if kind == "word":
                return Node(value, ())
            return Node("name" if kind == "name" else "literal", (value,))
        raise self._error("a name, a number or a quoted string")


def _tokens(text: str) -> Iterator[tuple[str, Any, int]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(_not_understood(text[at:].strip()[:1], at))
        start, at = match.start(match.lastgroup or 0), match.end()
        kind, value = match.lastgroup or "", match.group(match.lastgroup or 0)
        if kind == "number":
            yield "number", _number(text, value), start
        elif kind == "string":
            yield "string", value[1:-1], start
        elif kind == "quoted":
            yield "name", value.replace("``", "`"), start
        elif kind == "name":
            yield ("word" if value in _WORDS else "name"), value, start
        else:
            yield "op", value, start


def _not_understood(sign: str, at: int) -> str:
    hint = f"; write {_ELSEWHERE[sign]}" if sign in _ELSEWHERE else ""
    return f"{sign!r} is not understood at character {at + 1}{hint}"


def _number(text: str, value: str) -> float | int:
    number = int(value) if value.isdigit() and len(value) < 300 else float(value)
    if not math.isfinite(number):
        raise ExpressionError(f"{value} must be a finite number")
    return number


def _truth(node: Node, values: Values) -> bool:
    match node.op:
        case "or":
            return _truth(node.args[0], values) or _truth(node.args[1], values)
        case "and":
            return _truth(node.args[0], values) and _truth(node.args[1], values)
        case "not":
            return not _truth(node.args[0], values)
    try:
        return bool(_value(node, values))
    except _Undefined:
        return False


def _value(node: Node, values: Values) -> Any:
    match node.op:
        case "literal":
            return _exact(node.args[0])
        case "name":
            if node.args[0] not in values:
                raise _Undefined
            return _exact(values[node.args[0]])
        case "true" | "false" | "null":
            return None if node.op == "null" else node.op == "true"
        case "negative":
            return _numeric(_value(node.args[0], values)).copy_negate()
        case "+" | "-" | "*" | "/":
            return _arithmetic(node.op, *(_numeric(_value(side, values)) for side in node.args))
        case "in" | "not in":
            left = _value(node.args[0], values)
            return any(_equal(left, _value(item, values)) for item in node.args[1].args) == (node.op == "in")
        case "and" | "or" | "not":
            return _truth(node, values)
    return _compare(node.op, *(_value(side, values) for side in node.args))


def _exact(value: Any) -> Any:
    """Numbers in decimal, so that 1.1 + 2.2 is 3.3; what is no number at all compares with nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if value != value:
        raise _Undefined
    return exact(value)


def _numeric(value: Any) -> Decimal:
    if not isinstance(value, Decimal):
        raise _Undefined
    return value


ARITHMETIC = {"+": PAPER.add, "-": PAPER.subtract, "*": PAPER.multiply, "/": PAPER.divide}


def _arithmetic(op: str, left: Decimal, right: Decimal) -> Decimal:
    try:
        result = ARITHMETIC[op](left, right)
    except DecimalException as error:
        raise _Undefined from error
    if not result.is_finite():
        raise _Undefined
    return result


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def _compare(op: str, left: Any, right: Any) -> bool:
    if op in ("==", "!="):
        return _equal(left, right) == (op == "==")
    if isinstance(left, str) and isinstance(right, str):
        pair: tuple[Any, Any] = (left, right)
    else:
        pair = (_numeric(left), _numeric(right))
    order = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
    return bool(order[op](*pair))
