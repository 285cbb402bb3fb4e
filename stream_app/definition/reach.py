"""ast: which statements of a definition's own modules can decide what a class or function of them does.

An upgrade carries a slot over whose own code is unchanged. That code is the text of the class or function, of
every statement at the top of its module that gives a value to a name which it mentions, and so on, through
`from module import name` into other own modules. A local variable of such a name counts as a mention.

What cannot be decided name by name counts whole: a module that is imported as such (`import helpers`), one
whose text does not show where the name comes from, and every own module where names are computed (`eval`).
Statements that may change what others have made (a loop, a call, `Mine.rate = 2`) count where they mention a
name that counts.
Not seen is a change from outside, by an assignment with side effects or by a module that the class does not
import: such a slot is carried over, though every source is in the fingerprint and the epoch is another one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stream_app.definition.sources import Source, origin_of

LOOKS_UP = {"globals", "eval", "exec", "__import__", "import_module"}
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
Place = tuple[str, str | None]  # a module, and a name at its top or None for all of it


@dataclass(frozen=True)
class Statement:
    """One statement at the top of a module: its text, the names it gives a value and those it mentions.

    `plain`: it only defines. `leads`: name → where it comes from, for what it imports.
    """

    text: str
    binds: frozenset[str]
    mentions: frozenset[str]
    plain: bool
    leads: dict[str, list[Place]]


def reached(roots: Iterable[Place], own: Mapping[str, Source]) -> list[str]:
    """The text of every statement that the roots reach, in an order of its own; empty without own ones."""
    todo = [(place, True) for place in roots]
    parsed: dict[str, list[Statement]] = {}
    taken: dict[str, set[int]] = {}
    seen: set[tuple[Place, bool]] = set()
    while todo:
        place, must_be = todo.pop()
        (module, name) = place
        if (place, must_be) in seen or module not in own:
            continue
        seen.add((place, must_be))
        statements = parsed.setdefault(module, statements_of(own[module], own))
        mine = taken.setdefault(module, set())
        chosen = {number for number, one in enumerate(statements) if name is None or name in one.binds}
        starred = [(lead, name) for one in statements for lead, _ in one.leads.get("*", ())]
        todo += [(lead, False) for lead in starred]
        if must_be and not chosen and not starred:  # made in a way that the text does not show
            todo.append(((module, None), True))
        names = {bound for number in mine | chosen for bound in statements[number].binds}
        chosen |= {n for n, one in enumerate(statements) if not one.plain and names & one.mentions}
        for number in chosen - mine:
            todo += leads_of(statements[number], module, own)
        mine |= chosen
    return [
        f"{own[module].label}: {text}"
        for module in sorted(taken)
        for text in sorted(parsed[module][number].text for number in taken[module])
    ]


def leads_of(one: Statement, module: str, own: Iterable[str]) -> list[tuple[Place, bool]]:
    """Where a statement leads: to names that it mentions, where there are such, and to what it imports."""
    places: list[tuple[Place, bool]] = [((module, name), False) for name in one.mentions]
    for name, leads in one.leads.items():
        places += [((lead, None if name == "*" else attribute), True) for lead, attribute in leads]
    if one.mentions & LOOKS_UP:
        places += [((each, None), True) for each in own]
    return places


def statements_of(source: Source, own: Mapping[str, Source]) -> list[Statement]:
    """A module's statements; a compiled module is one that counts whole."""
    if source.text is None:
        return [Statement(source.data.hex(), frozenset(), frozenset(), True, {})]
    lines = source.text.split("\n")
    return [statement(node, lines, source, own) for node in ast.parse(source.text).body]


def statement(node: ast.stmt, lines: list[str], source: Source, own: Mapping[str, Source]) -> Statement:
    """One statement, with its decorators."""
    first = min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", ()))])
    text = "\n".join(lines[first - 1 : node.end_lineno])
    leads: dict[str, list[Place]] = {}
    mentions: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            mentions.add(part.id)
        elif isinstance(part, ast.Attribute) and part.attr in LOOKS_UP:
            mentions.add(part.attr)
        elif isinstance(part, ast.Import):
            for alias in part.names:
                bound = alias.asname or alias.name.partition(".")[0]
                leads.setdefault(bound, []).append((alias.name, None))
        elif isinstance(part, ast.ImportFrom):
            base = origin_of(part, source)
            for alias in part.names:
                module = f"{base}.{alias.name}"
                lead: Place = (module, None) if module in own else (base, alias.name)
                leads.setdefault(alias.asname or alias.name, []).append(lead)
    return Statement(text, frozenset(bound_by(node)), frozenset(mentions), is_plain(node), leads)


def is_plain(node: ast.stmt) -> bool:
    """Whether it only defines: a function, a class, an import, a value for names, a docstring."""
    if isinstance(node, ast.Assign):
        return all(
            isinstance(part, ast.Name | ast.Tuple | ast.Store)
            for target in node.targets
            for part in ast.walk(target)
        )
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, (*DEFINES, ast.Import, ast.ImportFrom))


def bound_by(node: ast.AST) -> set[str]:
    """The names that a statement gives a value at the top of its module."""
    if isinstance(node, DEFINES):
        inside = (part.names for part in ast.walk(node) if isinstance(part, ast.Global))
        return {node.name}.union(*inside)
    names: set[str] = set()
    if isinstance(node, ast.Import):
        names = {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
        names = {alias.asname or alias.name for alias in node.names}
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        names = {node.id}
    elif isinstance(node, ast.Lambda):
        return set()
    return names.union(*(bound_by(child) for child in ast.iter_child_nodes(node)))
