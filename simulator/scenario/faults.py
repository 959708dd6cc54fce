"""What pydantic found, in the words and at the line of the file."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from simulator.errors import Fault, meant, nearest
from simulator.scenario.base import FieldError, FieldErrors
from simulator.scenario.yaml_source import dotted
from simulator.units import number_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from simulator.scenario.yaml_source import Document, Key

_YAML_11_BOOLEANS = {"yes", "no", "on", "off", "y", "n"}


def faults_of(error: ValidationError, document: Document, root: type[BaseModel]) -> list[Fault]:
    """One fault per thing that is wrong."""
    details = error.errors(include_url=False)
    return [_fault(detail, cause, document, root) for detail in details for cause in causes(detail)]


def causes(detail: ErrorDetails) -> list[Exception | None]:
    """What the checks of a whole model found; None of any other error."""
    cause = detail.get("ctx", {}).get("error")
    return list(cause.errors) if isinstance(cause, FieldErrors) else [cause]


def _fault(detail: ErrorDetails, cause: Exception | None, document: Document, root: type[BaseModel]) -> Fault:
    key, parent, kind = _walk(detail["loc"], document.data, root)
    if isinstance(cause, ValueError):  # one of a part's checks; other errors have words of pydantic's for it
        detail = detail | {"msg": str(cause)}
    within = cause.key if isinstance(cause, FieldError) else ()
    file, line = document.origin((*key, *within))
    return Fault(file, line, dotted((*key, *within)), _message(detail, key, parent, kind))


def _walk(loc: tuple[str | int, ...], data: Any, root: type[BaseModel]) -> tuple[Key, type[BaseModel] | None, Any]:  # noqa: ANN401
    """The key path of an error location, which also names union tags; the model that holds its last key; its type."""
    key: list[str | int] = []
    kind: Any = root
    parent: type[BaseModel] | None = None
    for number, part in enumerate(loc):
        last = number == len(loc) - 1
        present = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if not present and (part == "[key]" or (isinstance(data, dict) and not last) or not isinstance(data, dict)):
            kind = next((choice for choice in _bare(kind) if _tag(choice) == part), kind)
            continue
        if not present and last and isinstance(part, str) and part in _tags(kind):
            continue
        key.append(part)
        kind = _choose(kind, part)
        parent = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        kind = _child(kind, part)
        data = data[part] if present else None
    return tuple(key), parent, kind


def _bare(kind: Any) -> list[Any]:  # noqa: ANN401 - a type annotation is anything
    """The alternatives of an annotation."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        return [bare for choice in get_args(kind) for bare in _bare(choice) if bare is not NoneType]
    return [kind]


def _tag(kind: Any) -> str | None:  # noqa: ANN401
    fields = getattr(kind, "model_fields", {})
    if "kind" not in fields:
        return getattr(kind, "tag", None)
    annotation = fields["kind"].annotation
    return get_args(annotation)[0] if get_origin(annotation) is Literal else None


def _tags(kind: Any) -> list[str]:  # noqa: ANN401
    return [tag for choice in _bare(kind) if (tag := _tag(choice))]


def _choose(kind: Any, part: str | int) -> Any:  # noqa: ANN401
    """The alternative that has such a key: a list where it is a number."""
    choices = _bare(kind)
    numbered = isinstance(part, int)
    return next((choice for choice in choices if (get_origin(choice) is list) == numbered), choices[0])


def _child(kind: Any, part: str | int) -> Any:  # noqa: ANN401
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = get_args(kind)
    return arguments[-1] if arguments else None


def _message(detail: ErrorDetails, key: Key, parent: type[BaseModel] | None, expected: Any) -> str:  # noqa: ANN401
    kind, given = detail["type"], detail["input"]
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    message = message.replace("True, False", "true, false")
    match kind:
        case "extra_forbidden":
            return _unknown(str(key[-1]), parent)
        case "missing":
            return "is missing"
        case "union_tag_not_found":
            return f"needs 'kind', one of: {', '.join(_tags(expected))}"
        case "union_tag_invalid":
            tag = given.get("kind") if isinstance(given, dict) else given
            hint = meant(tag, _tags(expected)) if isinstance(tag, str) else ""
            known = f"xpected one of: {', '.join(_tags(expected))}"
            return f"unknown kind {_show(tag)}; {f'{hint} E' if hint else 'e'}{known}"
        case "string_pattern_mismatch":
            return f"{_show(given)} is not a name; use lower-case letters, digits and underscores, a letter first"
        case "model_type" | "model_attributes_type" | "dict_type":
            message = f"expected keys and values{', found a list' if isinstance(given, list) else ''}"
        case "list_type":
            message = "expected a list, such as [a, b]"
        case "literal_error" if isinstance(given, str):
            choices = [choice for bare in _bare(expected) for choice in get_args(bare) if isinstance(choice, str)]
            hint = meant(given, choices)
            message += f"; {hint}" if hint else ""
        case "int_type" | "int_parsing" | "float_type" if isinstance(given, str) and (example := number_in(given)):
            whole = "a whole number" if kind != "float_type" else "a valid number"
            message = f"expected {whole} without a unit, such as {example}"
    if given is None:
        return f"is empty: {message}, or leave the key out"
    if isinstance(given, str) and given.lower() in _YAML_11_BOOLEANS and ("bool" in kind or "true, false" in message):
        return f"{given!r} is text in YAML 1.2; expected true or false"
    if isinstance(given, (dict, list)):
        return message
    return f"{_show(given)}: {message}"


def _unknown(key: str, parent: type[BaseModel] | None) -> str:
    """What to write in place of a key that is none: a section may know of some (`elsewhere`)."""
    known: str | None = getattr(parent, "elsewhere", {}).get(key)
    return known or f"unknown key; {nearest(key, parent.model_fields if parent else [])}"


def _show(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "..."


def in_file_order(faults: Iterable[Fault]) -> list[Fault]:
    """Every fault once, by file and line; those of no line, such as of an argument, first."""
    return sorted(set(faults), key=lambda one: (one.line > 0, one.file, one.line, one.key, one.message))
