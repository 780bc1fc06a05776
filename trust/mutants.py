"""Mutants of a module: its source with one small fault each, such as a slip of the hand makes.

A fault swaps an operator, shifts a number, negates a condition, drops a keyword argument or a
statement, or empties a value. Docstrings, annotations and the texts of errors are left as they are.
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, replace

SWAPS = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "*",
    ast.Pow: "*", ast.MatMult: "*", ast.LShift: ">>", ast.RShift: "<<", ast.BitAnd: "|",
    ast.BitOr: "&", ast.BitXor: "&",
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        where: the function or class that it is in, such as ``"Interactions.from_pairs"``.
        line: the first line that it changes, from 1.
        old: the source that is replaced.
        new: what stands there now.
        start, end: where `old` stands, as offsets into the source.
        inside: whether it is in the body of a function, and not in a default or a constant.
        nth: which one it is, from 1, of those that are written alike in one function or class.
    """

    where: str
    line: int
    old: str
    new: str
    start: int
    end: int
    inside: bool
    nth: int = 1

    def applied(self, source):
        return source[: self.start] + self.new + source[self.end :]

    @property
    def key(self):
        """What identifies the fault when lines move."""
        words = [self.where, " ".join(self.old.split()), " ".join(self.new.split())]
        return " | ".join(words + [str(self.nth)] * (self.nth > 1))


def mutants(source, scopes=()):
    """All faults of a module, in the order of its lines.

    Args:
        source: the module's text, ASCII or not.
        scopes: names of functions and classes at the top level to stay in; () for the whole module.

    Returns:
        list of Mutant; each one's source compiles, and means something else to the compiler.
    """
    tree = ast.parse(source)
    kept, alike = [], Counter()
    for node in tree.body:
        if scopes and getattr(node, "name", None) not in scopes:
            continue
        found = _Faults(source)
        found.visit(node)
        start, end = found.span(node)
        plain = ast.dump(ast.parse(source[start:end]))  # quicker than the whole module each time
        for mutant in sorted(set(found.mutants), key=lambda m: (m.start, m.end, m.new)):
            try:
                changed = ast.dump(ast.parse(mutant.applied(source[:end])[start:])) != plain
            except SyntaxError:
                changed = False
            if changed:
                alike[mutant.key] += 1
                kept.append(replace(mutant, nth=alike[mutant.key]))
    return kept


class _Faults(ast.NodeVisitor):
    def __init__(self, source):
        self.source, self.scope, self.mutants = source, [], []
        self.depth = 0  # of functions
        lines = source.splitlines(keepends=True)
        self.lines = [line.encode() for line in lines]
        self.starts = [0]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line))

    def place(self, line, column):
        """Offset of a line and a column, which ast counts in bytes."""
        return self.starts[line - 1] + len(self.lines[line - 1][:column].decode())

    def span(self, node):
        start = self.place(node.lineno, node.col_offset)
        return start, self.place(node.end_lineno, node.end_col_offset)

    def text(self, node):
        start, end = self.span(node)
        return self.source[start:end]

    def replace(self, node, new, until=None):
        start, end = self.span(node)
        end = self.span(until)[1] if until is not None else end
        old, where = self.source[start:end], ".".join(self.scope)
        line = self.source.count("\n", 0, start) + 1
        self.mutants.append(Mutant(where, line, old, new, start, end, self.depth > 0))

    # --- what is not touched

    def visit_AnnAssign(self, node):
        if node.value:
            self.visit(node.value)

    def visit_arg(self, node):
        pass

    def visit_Raise(self, node):
        self.replace(node, "pass")

    def visit_JoinedStr(self, node):
        pass

    def visit_Import(self, node):
        pass

    def visit_ImportFrom(self, node):
        pass

    def visit_If(self, node):
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.negate(node.test)
            self.generic_visit(node)

    # --- statements

    def visit_FunctionDef(self, node):
        self.scope.append(f"{node.name}(…)")
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        self.scope[-1] = node.name
        self.depth += 1
        for statement in self.body(node):
            self.visit(statement)
        self.depth -= 1
        self.scope.pop()

    def visit_ClassDef(self, node):
        self.scope.append(node.name)
        for statement in self.body(node):
            self.visit(statement)
        self.scope.pop()

    def body(self, node):
        """Statements but the docstring."""
        return node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body

    def visit_Return(self, node):
        if node.value and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.replace(node.value, "None")
        self.generic_visit(node)

    def visit_Assign(self, node):
        if not (isinstance(node.value, ast.Constant) or isinstance(node.targets[0], ast.Tuple)):
            self.replace(node.value, "None")
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        swapped = SWAPS[type(node.op)]
        old = f"{self.text(node.target)} {swapped}= {self.text(node.value)}"
        self.replace(node, old)
        self.generic_visit(node)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if not isinstance(node.value, (ast.Yield, ast.YieldFrom)):
            self.replace(node, "pass")
        self.generic_visit(node)

    def visit_Break(self, node):
        self.replace(node, "continue")

    def visit_Continue(self, node):
        self.replace(node, "break")

    # --- expressions

    def negate(self, test):
        self.replace(test, f"not ({self.text(test)})")

    def visit_While(self, node):
        self.negate(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self.negate(node.test)
        self.generic_visit(node)

    def visit_BinOp(self, node):
        swapped = SWAPS[type(node.op)]
        new = f"({self.text(node.left)}) {swapped} ({self.text(node.right)})"
        if not isinstance(node.left, ast.JoinedStr):
            self.replace(node, new)
        self.generic_visit(node)

    def visit_Compare(self, node):
        if len(node.ops) == 1:
            left, right = self.text(node.left), self.text(node.comparators[0])
            self.replace(node, f"{left} {SWAPS[type(node.ops[0])]} {right}")
        else:
            parts = [node.left, *node.comparators]
            for i, op in enumerate(node.ops):
                pair = f"{self.text(parts[i])} {SWAPS[type(op)]} {self.text(parts[i + 1])}"
                self.replace(parts[i], pair, until=parts[i + 1])
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        word = "or" if isinstance(node.op, ast.And) else "and"
        self.replace(node, f" {word} ".join(f"({self.text(value)})" for value in node.values))
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if not isinstance(node.op, ast.UAdd):
            self.replace(node, f"({self.text(node.operand)})")
        if not isinstance(node.operand, ast.Constant):
            self.generic_visit(node)

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, bool):
            self.replace(node, str(not value))
        elif isinstance(value, (int, float)):
            self.replace(node, f"({self.text(node)} + 1)")
        elif isinstance(value, (str, bytes)) and value:
            self.replace(node, '""' if isinstance(value, str) else 'b""')

    def visit_Call(self, node):
        arguments = [self.text(each) for each in node.args]
        keywords = [self.keyword(each) for each in node.keywords]
        for left_out, each in enumerate(node.keywords):
            if each.arg:
                kept = [*arguments, *keywords[:left_out], *keywords[left_out + 1 :]]
                self.replace(node, f"{self.text(node.func)}({', '.join(kept)})")
        self.generic_visit(node)

    def keyword(self, node):
        return f"{node.arg}={self.text(node.value)}" if node.arg else f"**{self.text(node.value)}"
