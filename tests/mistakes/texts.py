"""Every text of the package that a user may read as an error or in a log, from its source."""

from __future__ import annotations

import ast
import builtins
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "airflow_provider_venice"

#: Errors of Airflow and of the libraries that the package raises.
_FOREIGN_ERRORS = {
    *("AirflowException", "AirflowFailException", "AirflowSensorTimeout", "AirflowSkipException"),
    *("ArgumentTypeError", "HTTPException"),
}

#: Methods of a logger that write what people are to see.
_LEVELS = {"warning": "warning", "error": "error", "exception": "error"}

#: Fewest words of a text that counts: of an error, and of anything else.
_FEWEST_OF_ERROR, _FEWEST = 2, 3

_WORD = re.compile(r"[(\"']?[A-Za-z][A-Za-z'-]*[)\"',.;:?]*")
_NAMED = re.compile(r"^<([^<>]*)>$")
_FORMAT = re.compile(r"%[-+.\d]*[sdrfg]")


@dataclass(frozen=True)
class Text:
    """
    A text.

    :param module: where it is, as a path below the package, without its suffix.
    :param said: the text, with what differs in angle brackets, and what may be missing in square ones.
    :param kind: whether it is the message of an error, a line of a log, or a part of another message.
    :param by: the error, or the level of the line. Of an error that :mod:`~airflow_provider_venice.exceptions` does not
        have, the one that it is derived from stands behind it: ``TargetExists VeniceRequestError``.
    """

    module: str
    said: str
    kind: str
    by: str = ""


@functools.cache
def read_texts() -> tuple[Text, ...]:
    """Return the texts of the package, but for its simulator, in the order in which they stand."""
    modules = {
        str(path.relative_to(PACKAGE).with_suffix("")): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
        if "simulator" not in path.parts
    }
    source = _Source(modules)
    texts = (text for name, tree in modules.items() for text in _Reader(name, source).read(tree))
    return tuple(dict.fromkeys(texts))


class _Source:
    """
    What the modules define: errors, the functions that return them, and constants.

    :param modules: by name, the parsed modules.
    """

    def __init__(self, modules: dict[str, ast.Module]) -> None:
        self.modules = modules

    @functools.cached_property
    def errors(self) -> dict[str, str]:
        """All errors by their names, as :attr:`Text.by` has them."""
        kinds = {name: kind for name, kind in vars(builtins).items() if isinstance(kind, type)}
        found = {name: name for name, kind in kinds.items() if issubclass(kind, BaseException)}
        found |= {name: name for name in _FOREIGN_ERRORS}
        # The tree of exceptions.py comes before what is derived from it.
        for module in sorted(self.modules, key=lambda name: name != "exceptions"):
            for node in ast.walk(self.modules[module]):
                bases = [base for one in getattr(node, "bases", ()) if (base := _last_name(one)) in found]
                if isinstance(node, ast.ClassDef) and bases:
                    found[node.name] = node.name if module == "exceptions" else f"{node.name} {bases[0]}"
        return found

    @functools.cached_property
    def makers(self) -> dict[str, str]:
        """The error that each function returns whose annotation names one."""
        functions = (node for tree in self.modules.values() for node in ast.walk(tree))
        return {
            node.name: self.errors[_last_name(node.returns)]
            for node in functions
            if isinstance(node, ast.FunctionDef)
            and node.returns is not None
            and _last_name(node.returns) in self.errors
        }

    def constants(self, module: str) -> dict[str, str]:
        """Return the texts and numbers that a module defines or imports under a name."""
        own = {
            target.id: str(node.value.value)
            for node in self.modules[module].body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in self.modules[module].body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE.name}."):
                other = (node.module or "").partition(".")[2].replace(".", "/")
                if other in self.modules and other != module:
                    defined = self.constants(other)
                    own |= {one.name: defined[one.name] for one in node.names if one.name in defined}
        return own


class _Reader:
    """
    Reads the texts of a module.

    :param module: its name.
    :param source: what all modules define.
    """

    def __init__(self, module: str, source: _Source) -> None:
        self._module = module
        self._source = source
        self._constants = source.constants(module)
        self._known: dict[ast.AST, dict[str, str]] = {}

    def read(self, tree: ast.Module) -> Iterator[Text]:
        """Yield the texts of the module."""
        yield from self._below(tree, "part", "", tree)

    def _below(self, node: ast.AST, kind: str, by: str, scope: ast.AST) -> Iterator[Text]:
        for child in ast.iter_child_nodes(node):
            yield from self._at(child, kind, by, scope)

    def _at(self, node: ast.AST, kind: str, by: str, scope: ast.AST) -> Iterator[Text]:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node, ast.Call) and _last_name(node) == "compile":
            return  # a regular expression
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from self._below(node, "part", "", node)
        elif isinstance(node, ast.Call) and (error := self._error_of(node, scope)):
            for argument in node.args:
                yield from self._at(argument, "error", error, scope)
        elif isinstance(node, ast.Call) and (level := _log_level(node)) is not None:
            if node.args and level in _LEVELS and (said := self._template(node.args[0])):
                yield from self._text(self._filled(said, node.args[1:]), "log", _LEVELS[level])
        elif (said := self._template(node)) is not None:
            yield from self._text(said, kind, by)
        else:
            yield from self._below(node, kind, by, scope)

    def _text(self, said: str, kind: str, by: str) -> Iterator[Text]:
        said = " ".join(_FORMAT.sub("<…>", said).split()).strip(";,. ")
        fewest = _FEWEST_OF_ERROR if kind == "error" else _FEWEST
        if sum(1 for word in re.sub(r"<[^<>]*>", " ", said).split() if _WORD.fullmatch(word)) >= fewest:
            yield Text(self._module, said, kind, by)

    def _error_of(self, call: ast.Call, scope: ast.AST) -> str:
        """Return the error that a call makes; empty where it makes none."""
        name = _last_name(call.func)
        if name in self._source.errors:
            return self._source.errors[name]
        if name in self._source.makers:
            return self._source.makers[name]
        if name == "__init__" and isinstance(scope, ast.FunctionDef) and scope.name == "__init__":
            return self._class_of(scope)
        # ``kind(...)``, where kind is one of several errors, and ``type(error)(...)``.
        if isinstance(call.func, ast.Name):
            return self._assigned(scope).get(name, "")
        return "Exception" if isinstance(call.func, ast.Call) and name == "type" else ""

    def _assigned(self, scope: ast.AST) -> dict[str, str]:
        """Return the variables of a function that hold the class of an error, or one of several."""
        if scope not in self._known:
            found = {}
            for node in ast.walk(scope):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    kinds = self._source.errors.keys() & {_last_name(one) for one in _choices(node.value)}
                    found[node.targets[0].id] = " or ".join(sorted(kinds))
            self._known[scope] = found
        return self._known[scope]

    def _class_of(self, method: ast.FunctionDef) -> str:
        """Return the error whose method this is; empty where it is no error."""
        classes = (node for node in ast.walk(self._source.modules[self._module]) if isinstance(node, ast.ClassDef))
        name = next((one.name for one in classes if method in one.body), "")
        return self._source.errors.get(name, "")

    def _template(self, node: ast.AST) -> str | None:
        """Return the text that an expression is, with what differs in brackets; ``None`` where it is no text."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.JoinedStr):
            return "".join(map(self._part, node.values))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            sides = [self._template(node.left), self._template(node.right)]
            if sides != [None, None]:
                return "".join(map(self._shown, (node.left, node.right)))
        return None

    def _part(self, node: ast.expr) -> str:
        return self._shown(node.value if isinstance(node, ast.FormattedValue) else node)

    def _shown(self, node: ast.expr) -> str:
        """Return what stands for a value: the text that it is, or its name in brackets."""
        if (said := self._template(node)) is not None:
            return said
        if isinstance(node, ast.Name) and node.id in self._constants:
            return self._constants[node.id]
        if isinstance(node, ast.IfExp):
            choices = [shown for one in (node.body, node.orelse) if (shown := self._shown(one))]
            if len(choices) == 1:
                return f"[{choices[0]}]"
            names = dict.fromkeys(_NAMED.sub(r"\1", shown) for shown in choices)
            return f"<{' or '.join(names)}>"
        return f"<{_name_of(node)}>"

    def _filled(self, said: str, values: list[ast.expr]) -> str:
        """Return a line of a log with its values in place of ``%s``."""
        left = iter(values)
        return _FORMAT.sub(lambda _: self._shown(next(left)), said)


def _last_name(node: ast.AST) -> str:
    """Return the last name of an expression, such as ``c`` of ``a.b.c``; of a call, that of what is called."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return getattr(node, "attr", None) or getattr(node, "id", None) or ""


def _choices(node: ast.expr) -> list[ast.expr]:
    """Return what the value of an expression may be."""
    return [*_choices(node.body), *_choices(node.orelse)] if isinstance(node, ast.IfExp) else [node]


def _log_level(call: ast.Call) -> str | None:
    """Return the method of a logger that is called; ``None`` where none is."""
    is_log = isinstance(call.func, ast.Attribute) and _last_name(call.func.value) in ("log", "_log")
    return _last_name(call.func) if is_log else None


#: Functions and methods that leave a value what it is called.
_PLAIN = {
    *("abs", "bool", "dict", "dollars", "len", "list", "max", "min", "repr", "sorted", "str", "sum", "utc"),
    *("get", "getattr", "join", "of"),
}


def _name_of(node: ast.AST) -> str:
    """Return what a value is called in the source, for people."""
    match node:
        case ast.Attribute(attr="__name__"):
            return "type"
        case ast.Call(args=[_, ast.Constant(value=str(name)), *_]) | ast.Subscript(slice=ast.Constant(value=str(name))):
            return name.replace("_", " ")
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
            return name.replace("_", " ")
        case ast.Call(func=ast.Attribute(attr="strftime")):
            return "time"
        case ast.Call(func=ast.Name(id="map"), args=[_, inner]):
            return _name_of(inner)
        case ast.Call(func=function, args=[inner, *_]) if _last_name(function) in _PLAIN:
            return _name_of(inner)
        case ast.Call(func=ast.Attribute(value=inner, attr="rstrip" | "strip" | "bit_length" | "split")):
            return _name_of(inner)
        case ast.Await(value=inner) | ast.Call(func=inner) | ast.Subscript(value=inner) | ast.IfExp(body=inner):
            return _name_of(inner)
        case ast.BinOp(left=inner) | ast.BoolOp(values=[inner, *_]) | ast.GeneratorExp(elt=inner):
            return _name_of(inner)
    name = _last_name(node).strip("_").replace("_", " ")
    return "…" if name in ("", "self") else name.lower() if name.isupper() else name
