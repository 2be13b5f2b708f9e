"""Write ``docs/messages.md``: every message that people read, in the order of the code that says it.

python scripts/message_list.py            write it
python scripts/message_list.py --check    exit with 1 if the page is not what would be written (a test does this)

A message is found where it is made: the argument of an error, a warning, a line that a command prints, a finding of
the doctor. The variables and functions it is put together from are followed to their texts: those of a variable stand
below the message, those of a function at their own place. What only the run knows is shown as ``{expression}``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "roi_bench"
PAGE = ROOT / "docs" / "messages.md"
HEAD = """# Messages

Every message that people read, by module, in the order of the code; what only the run knows is shown as `{expression}`.
Written by `python scripts/message_list.py`.
"""

ERRORS = {"RoiBenchError", "EndedEarlyError", "UnusableReplyError", "_StoppedError", "ValueError", "SystemExit"}
"""Errors whose message is read; subclasses are found. That of a ``ValueError`` stands in the brackets of another's."""

CLICK = {"UsageError", "ClickException", "BadParameter"}
LOGGED = {"warning", "info", "error"}
RECORDED = {"Finding": slice(None), "Failure": slice(1, 2), "Remark": slice(None)}
"""Classes that carry texts which are shown, and which of their arguments do."""

SPOKEN = {"tell": "line", "_tell": "line", "_on_event": "line", "echo": "line", "secho": "line", "fail": "UsageError"}
"""Functions and methods that print a line, or end the command with one."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Message:
    """One message, or one text that messages are put together from.

    Attributes:
        line: Where it is made, in its module.
        kind: The error's type, ``warning``, ``line``, ``Finding``, or the function that returns it.
        text: Its text on one line.
        parts: Name and text of each variable in it that holds a text.
    """

    line: int
    kind: str
    text: str
    parts: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Module:
    """A module's tree, and what its names mean.

    Attributes:
        path: The file.
        tree: Its syntax tree.
        functions: Its functions and methods by name.
        constants: What is assigned to names at the top.
        imported: For each name imported from another module of ours, that module's dotted name.
        returned: Functions whose texts belong to messages.
    """

    path: Path
    tree: ast.Module
    functions: dict[str, Function]
    constants: dict[str, ast.expr]
    imported: dict[str, str]
    returned: set[str] = field(default_factory=set)


def load(path: Path) -> Module:
    """Parse one module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    functions = {node.name: node for node in nodes if isinstance(node, Function)}
    constants: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            constants |= {target.id: node.value for target in targets if isinstance(target, ast.Name)}
    imports = [
        node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("roi_bench")
    ]
    imported = {alias.asname or alias.name: str(node.module) for node in imports for alias in node.names}
    return Module(path, tree, functions, constants, imported)


# ------------------------------------------------------------------------------------------------------------- texts
class _Plain(ast.NodeTransformer):
    """Replaces f-strings inside an expression by plain ones: how they are written depends on Python's version."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Return a constant of the same text."""
        return ast.Constant(text_of(node))


def text_of(node: ast.expr) -> str:
    """Return the text of an expression, with ``{expression}`` for what only the run knows."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(value) for value in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    if isinstance(node, ast.FormattedValue):
        conversion = "" if node.conversion < 0 else f"!{chr(node.conversion)}"
        form = f":{text_of(node.format_spec)}" if node.format_spec is not None else ""
        return f"{{{_expression(node.value)}{conversion}{form}}}"
    return f"{{{_expression(node)}}}"


def _expression(node: ast.expr) -> str:
    again = ast.parse(ast.unparse(node), mode="eval").body  # a copy
    return ast.unparse(_Plain().visit(again))


def alternatives(node: ast.expr) -> list[str]:
    """Return every text that an expression may give: both sides of a condition, whichever holds."""
    if isinstance(node, ast.IfExp):
        return [*alternatives(node.body), *alternatives(node.orelse)]
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in alternatives(value)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [left + right for left in alternatives(node.left) for right in alternatives(node.right)]
    return [text_of(node)]


def own_words(text: str) -> str:
    """Return a text without what only the run knows."""
    depth, said = 0, ""
    for character in text:
        depth += (character == "{") - (character == "}")
        said += character if depth == 0 and character != "}" else ""
    return said


def has_words(text: str) -> bool:
    """Whether a text says something beside what only the run knows."""
    return re.search(r"[A-Za-z]{2}", own_words(text)) is not None


def logged(call: ast.Call) -> list[str]:
    """Return what a logger is given, its arguments put into their places."""
    first, *rest = call.args
    pieces = re.split(r"%[sdr]", text_of(first))
    return [pieces[0] + "".join(f"{{{_expression(one)}}}{then}" for one, then in zip(rest, pieces[1:], strict=False))]


# --------------------------------------------------------------------------------------------------------- messages
def name_of(function: ast.expr) -> str:
    """Return the last name of what is called."""
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )


def error_names(modules: dict[str, Module]) -> set[str]:
    """Return the names of all errors whose message somebody reads."""
    classes = [node for module in modules.values() for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    found = set(ERRORS)
    while more := {one.name for one in classes if {name_of(base) for base in one.bases} & found} - found:
        found |= more
    return found | CLICK


def said_by(call: ast.Call, errors: set[str]) -> tuple[str, list[str]] | None:
    """Return the kind of message that a call makes, and its texts; None if it makes none."""
    name, of = name_of(call.func), name_of(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if not call.args:
        return None
    if name in LOGGED and "log" in of.lower():
        return name, logged(call)
    if name in RECORDED:
        return name, [" · ".join(text_of(argument) for argument in call.args[RECORDED[name]])]
    if name in errors or name in SPOKEN or (name, of) in (("write", "stderr"), ("print", "console")):
        return name if name in errors else SPOKEN.get(name, "line"), alternatives(call.args[0])
    return None


def parts_of(call: ast.Call, scope: Function | None, module: Module) -> list[tuple[str, str]]:
    """Return name and text of each variable or constant in a message that holds a text itself."""
    names = list(dict.fromkeys(node.id for node in ast.walk(call) if isinstance(node, ast.Name)))
    given = [
        argument for one in ast.walk(call) if isinstance(one, ast.Call) and one is not call for argument in one.args
    ]
    hidden = {node.id for argument in given for node in ast.walk(argument) if isinstance(node, ast.Name)}
    found = []
    for name in names:
        texts = [text for value in _assigned(scope, name) for text in alternatives(value)]
        if name in module.constants and name not in hidden:
            inside = ast.walk(module.constants[name])
            texts += [node.value for node in inside if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        found += [(name, text) for text in dict.fromkeys(texts) if has_words(text) and " " in text]
    return found


def _assigned(scope: Function | None, name: str) -> Iterator[ast.expr]:
    for node in ast.walk(scope) if scope is not None else ():
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                yield node.value


def _scopes(node: ast.AST, scope: Function | None = None) -> Iterator[tuple[ast.AST, Function | None]]:
    """Yield each node below with the outermost function that it stands in."""
    for child in ast.iter_child_nodes(node):
        inside = scope or (child if isinstance(child, Function) else None)
        yield child, inside
        yield from _scopes(child, inside)


def messages_of(module: Module, modules: dict[str, Module], errors: set[str]) -> list[Message]:
    """Return the messages that a module makes itself, and note the functions whose texts they are put together from."""
    found = []
    for node, scope in _scopes(module.tree):
        said = said_by(node, errors) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and said is not None:
            parts = parts_of(node, scope, module)
            texts = [text for text in said[1] if has_words(text)] or ([said[1][0]] if parts else [])
            found += [Message(node.lineno, said[0], text, parts if text == texts[-1] else []) for text in texts]
            names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
            for value in (node, *(value for name in sorted(names) for value in _assigned(scope, name))):
                note_functions(value, module, modules)
    return found


def note_functions(node: ast.AST, module: Module, modules: dict[str, Module]) -> None:
    """Note each function of ours that is called in ``node``, and those that its own texts are put together from."""
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        name = name_of(call.func)
        home = module if name in module.functions else modules.get(module.imported.get(name, ""))
        if home is not None and name in home.functions and name not in home.returned and texts_of(home, name):
            home.returned.add(name)
            for value in _returned(home.functions[name]):
                note_functions(value, home, modules)


def _returned(function: Function) -> list[ast.expr]:
    nodes = [node for node in ast.walk(function) if isinstance(node, ast.Return | ast.Yield)]
    return [node.value for node in nodes if node.value is not None]


def texts_of(module: Module, name: str) -> list[Message]:
    """Return the texts that a function gives back."""
    function = module.functions[name]
    found = []
    for value in _returned(function):
        shown = ast.Call(value, [value], [])
        parts = parts_of(shown, function, module)
        written = isinstance(value, ast.Constant | ast.JoinedStr | ast.IfExp | ast.BinOp | ast.BoolOp | ast.Name)
        texts = [text for text in alternatives(value) if written and has_words(text) and " " in text]
        texts = texts or ([text_of(value)] if written and parts else [])
        found += [Message(value.lineno, f"{name}()", text, parts if text == texts[-1] else []) for text in texts]
    return found


# -------------------------------------------------------------------------------------------------------------- page
@cache
def collect() -> dict[str, list[Message]]:
    """Return the messages of each module that has any, by its path in the package."""
    paths = sorted(PACKAGE.rglob("*.py"), key=lambda path: (path.relative_to(PACKAGE).parent.parts, path.name))
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): load(path) for path in paths}
    errors = error_names(modules)
    own = {name: messages_of(module, modules, errors) for name, module in modules.items()}
    found = {}
    for name, module in modules.items():
        texts = [text for function in sorted(module.returned) for text in texts_of(module, function)]
        if own[name] or texts:
            found[module.path.relative_to(PACKAGE).as_posix()] = sorted([*own[name], *texts], key=lambda one: one.line)
    return found


def code(text: str) -> str:
    """Return a text as Markdown code on one line."""
    line = text.replace("\n", "⏎").strip()
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{ticks} {line} {ticks}" if "`" in line else f"`{line}`"


def page() -> str:
    """Return the page as Markdown: a section for each room, its modules in alphabetical order, one line a message."""
    lines, room = [HEAD], None
    for path, messages in collect().items():
        folder = path.rpartition("/")[0]
        if folder != room:
            lines.append(f"## `roi_bench/{folder}{'/' if folder else ''}`\n")
            room = folder
        lines.append(f"### `{path}`\n")
        for message in messages:
            lines.append(f"- {message.kind}: {code(message.text)}")
            lines += [f"  - {name}: {code(text)}" for name, text in message.parts]
        lines.append("")
    return "\n".join(lines)


def main(check: bool) -> int:
    """Write or check the page and return the exit code."""
    wanted = page()
    if check:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
