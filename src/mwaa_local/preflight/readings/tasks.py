"""What the tasks of a DAG file take from their context: names in templates, keys that functions ask for, arguments."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from mwaa_local.preflight.readings.python import PythonFile, keyword

TEMPLATE, KEY, ARGUMENT = "template", "key", "argument"

# Arguments of operators that are no templates, whatever stands in them.
_PLAIN = frozenset({"doc", "doc_md", "doc_rst", "doc_json", "doc_yaml", "task_id", "task_display_name"})
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)
_COMMENT = re.compile(r"\{#.*?#\}|\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}", re.DOTALL)
_TEXT = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_NAME = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(?!\w)(?!\s*=(?!=))")
_SET = re.compile(r"\{%-?\s*(?:set|for|macro\s+\w+\s*\()\s*([\w\s,]+)")
_CALLBACKS = re.compile(r"on_\w+_callback|sla_miss_callback")
_METHODS = frozenset({"execute", "poke", "pre_execute", "post_execute", "execute_complete"})


@dataclass(frozen=True)
class Use:
    """One thing that a task takes from its context.

    Attributes:
        kind: ``template`` (a name in a template), ``key`` (of the context) or ``argument`` (of a function).
        name: Its name.
        certain: Whether the task cannot do without: no default, no ``get``, no ``except``.
    """

    kind: str
    name: str
    line: int
    certain: bool


@lru_cache(maxsize=8192)
def context_uses(file: PythonFile) -> tuple[Use, ...]:
    """Everything the tasks of a file take from their context, as far as it stands in the file."""
    return tuple(dict.fromkeys((*_templates(file), *_functions(file))))


# -- templates ---------------------------------------------------------------------------------------------------------


def _templates(file: PythonFile) -> Iterator[Use]:
    macros, open_macros = _macros(file)
    constants = {
        item.targets[0].id: item.value
        for item in file.tree.body
        if isinstance(item, ast.Assign) and len(item.targets) == 1 and isinstance(item.targets[0], ast.Name)
    }
    for call in file.all_calls:
        if not _makes_a_task(call.name):
            continue
        for argument in call.node.keywords:
            if argument.arg in _PLAIN:
                continue
            for node, text in _texts(argument.value, constants):
                for name in template_names(text):
                    if name not in macros:
                        yield Use(TEMPLATE, name, node.lineno, not open_macros)


def _makes_a_task(name: str) -> bool:
    parts = [part.removesuffix("()") for part in name.split(".")]
    return any(part.endswith(("Operator", "Sensor")) for part in parts[-2:])


def _macros(file: PythonFile) -> tuple[frozenset[str], bool]:
    """Names that the file's DAGs add to their templates, and whether there may be others."""
    found: set[str] = set()
    unknown = False
    for call in file.all_calls:
        given = keyword(call.node, "user_defined_macros")
        if given is None:
            continue
        if not isinstance(given.value, ast.Dict):
            unknown = True
            continue
        for key in given.value.keys:
            if isinstance(key, ast.Constant):
                found.add(str(key.value))
            else:
                unknown = True
    return frozenset(found), unknown


def _texts(node: ast.expr, constants: dict[str, ast.expr]) -> Iterator[tuple[ast.expr, str]]:
    """Strings in the value of an argument, also in its lists and dictionaries, and behind a constant's name."""
    if isinstance(node, ast.Name) and node.id in constants:
        value = constants[node.id]
        if not isinstance(value, ast.Name):
            yield from _texts(value, {})
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node, node.value
    elif isinstance(node, ast.JoinedStr):
        yield node, "".join(str(part.value) if isinstance(part, ast.Constant) else "filled_in" for part in node.values)
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        for item in node.elts:
            yield from _texts(item, constants)
    elif isinstance(node, ast.Dict):
        for item in (*filter(None, node.keys), *node.values):
            yield from _texts(item, constants)
    elif isinstance(node, ast.BinOp):  # "a" + "b", "a" % b: names of templates stand in one piece
        yield from _texts(node.left, constants)
        yield from _texts(node.right, constants)


def template_names(text: str) -> frozenset[str]:
    """Names that a template takes from its context; what it sets itself, attributes and texts are none."""
    if "{" not in text:
        return frozenset()
    text = _COMMENT.sub("", text)
    own = {name.strip() for found in _SET.findall(text) for name in re.split(r"[,\s]+", found)}
    names: set[str] = set()
    for inner in _EXPRESSION.findall(text):
        names.update(_NAME.findall(_TEXT.sub("''", inner[0] or inner[1])))
    return frozenset(names - own)


# -- functions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Callable:
    """A function that Airflow calls with the context.

    Attributes:
        given: Arguments that the DAG file gives itself; ``None`` when that cannot be told.
        keywords: Whether the context's keys come as arguments, by their names.
        whole: Name of the argument that is the whole context, or empty.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    given: Collection[str] | None
    keywords: bool
    whole: str = ""


def _functions(file: PythonFile) -> Iterator[Use]:
    for found in _callables(file):
        arguments = found.node.args
        if found.keywords and found.given is not None:
            yield from _arguments(found, arguments)
        contexts = {found.whole} if found.whole else set()
        if found.keywords and arguments.kwarg is not None:
            contexts.add(arguments.kwarg.arg)
        yield from _keys(file, found, contexts)


def _callables(file: PythonFile) -> Iterator[_Callable]:
    functions = {
        node.name: node for node in ast.walk(file.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    given: dict[str, Collection[str] | None] = {}
    for call in file.all_calls:
        for argument in call.node.keywords:
            if argument.arg == "python_callable":
                if isinstance(argument.value, ast.Name) and argument.value.id in functions:
                    name = argument.value.id
                    mine = _given(call.node)
                    before = given.get(name, ())
                    given[name] = None if mine is None or before is None else frozenset(before) | frozenset(mine)
                elif isinstance(argument.value, ast.Lambda):
                    yield _Callable(argument.value, _given(call.node), keywords=True)
            elif argument.arg and _CALLBACKS.fullmatch(argument.arg):
                for item in argument.value.elts if isinstance(argument.value, ast.List) else [argument.value]:
                    node = functions.get(item.id) if isinstance(item, ast.Name) else None
                    if node is not None and node.args.args:
                        yield _Callable(node, None, keywords=False, whole=node.args.args[0].arg)
    for name, node in functions.items():
        if name in given:
            yield _Callable(node, given[name], keywords=True)
        elif any(_is_task(file, item) for item in node.decorator_list):
            yield _Callable(node, _passed(file, name), keywords=True)
    for class_ in file.classes:
        for method in class_.body:
            if isinstance(method, ast.FunctionDef) and method.name in _METHODS and len(method.args.args) > 1:
                yield _Callable(method, None, keywords=False, whole=method.args.args[1].arg)


def _is_task(file: PythonFile, decorator: ast.expr) -> bool:
    name = file.dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
    parts = name.split(".")
    # Code of another interpreter gets no context.
    apart = {"virtualenv", "external_python", "docker", "kubernetes", "bash"}
    return "task" in parts and not apart & set(parts)


def _given(call: ast.Call) -> Collection[str] | None:
    """Names that ``op_kwargs`` gives a callable; ``None`` where they or positions cannot be told."""
    if keyword(call, "op_args") is not None:
        return None
    given = keyword(call, "op_kwargs")
    if given is None:
        return ()
    if not isinstance(given.value, ast.Dict) or not all(isinstance(key, ast.Constant) for key in given.value.keys):
        return None
    return frozenset(str(key.value) for key in given.value.keys if isinstance(key, ast.Constant))


def _passed(file: PythonFile, name: str) -> Collection[str] | None:
    """Names that the calls of a ``@task`` function pass; ``None`` where they are passed by position."""
    found: set[str] = set()
    for call in file.all_calls:
        if name not in call.name.replace("()", "").split("."):
            continue
        if call.node.args or any(item.arg is None for item in call.node.keywords):
            return None
        found.update(item.arg for item in call.node.keywords if item.arg)
    return found


def _arguments(found: _Callable, arguments: ast.arguments) -> Iterator[Use]:
    assert found.given is not None, "asked by the caller"
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    for number, item in enumerate(positional):
        if item.arg not in found.given:
            yield Use(ARGUMENT, item.arg, item.lineno, number < first_default)
    for item, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if item.arg not in found.given:
            yield Use(ARGUMENT, item.arg, item.lineno, default is None)


def _keys(file: PythonFile, found: _Callable, contexts: set[str]) -> Iterator[Use]:
    body = found.node.body if isinstance(found.node.body, list) else [found.node.body]
    contexts = contexts | {
        target.id
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and file.dotted(node.value.func).rpartition(".")[2] == "get_current_context"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for statement in body:
        yield from _keys_in(file, statement, contexts, set(found.given or ()), guarded=False)


def _keys_in(file: PythonFile, node: ast.AST, contexts: set[str], given: set[str], *, guarded: bool) -> Iterator[Use]:
    if isinstance(node, ast.Try):
        caught = guarded or any(_catches_missing_key(handler) for handler in node.handlers)
        for item in node.body:
            yield from _keys_in(file, item, contexts, given, guarded=caught)
        for other in (*node.handlers, *node.orelse, *node.finalbody):
            yield from _keys_in(file, other, contexts, given, guarded=guarded)
        return
    if isinstance(node, ast.If) and _asks_whether(node.test, contexts):
        guarded = True
    key: ast.expr | None = None
    certain = True
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _is_context(file, node.value, contexts):
        key = node.slice
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("get", "pop")
        and _is_context(file, node.func.value, contexts)
        and node.args
    ):
        key, certain = node.args[0], False
    if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value not in given:
        yield Use(KEY, key.value, node.lineno, certain and not guarded)  # type: ignore[attr-defined]
    for child in ast.iter_child_nodes(node):
        yield from _keys_in(file, child, contexts, given, guarded=guarded)


def _is_context(file: PythonFile, node: ast.expr, contexts: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in contexts
    return isinstance(node, ast.Call) and file.dotted(node.func).rpartition(".")[2] == "get_current_context"


def _catches_missing_key(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in ("KeyError", "LookupError", "Exception") for kind in kinds)


def _asks_whether(test: ast.expr, contexts: set[str]) -> bool:
    """``if "key" in context``, or a test of Airflow's version."""
    return "version" in ast.dump(test).lower() or any(
        isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.In | ast.NotIn)
        and isinstance(node.comparators[0], ast.Name)
        and node.comparators[0].id in contexts
        for node in ast.walk(test)
    )
