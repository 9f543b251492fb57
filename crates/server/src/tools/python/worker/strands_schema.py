"""JSON Schema from a function's signature, type hints and docstring, as Strands makes it with pydantic and
docstring_parser, without either. Also the way back: JSON values to what the annotations promise.
"""

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import json
import pathlib
import re
import types
import typing
import uuid

EMPTY = inspect.Parameter.empty
SIMPLE = {
    str: {"type": "string"}, int: {"type": "integer"}, float: {"type": "number"}, bool: {"type": "boolean"},
    type(None): {"type": "null"}, bytes: {"type": "string", "format": "binary"},
    datetime.datetime: {"type": "string", "format": "date-time"}, datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"}, datetime.timedelta: {"type": "string", "format": "duration"},
    uuid.UUID: {"type": "string", "format": "uuid"}, pathlib.Path: {"type": "string", "format": "path"},
}
DECIMAL = {"anyOf": [{"type": "number"}, {"type": "string"}]}
LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.MutableSequence)
SETS = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))
ARGS = ("args:", "arguments:", "parameters:", "param:", "params:")
OTHERS = (
    "returns:", "return:", "yields:", "yield:", "raises:", "raise:", "except:", "exceptions:", "examples:", "example:",
    "note:", "notes:", "see also:", "seealso:", "references:", "ref:",
)


@dataclasses.dataclass
class Field:
    """A parameter that the model fills in."""

    name: str
    annotation: typing.Any
    default: typing.Any
    description: str


def fields_of(function, special, context_type):
    """The parameters, without the ones in `special`, which are not the model's."""
    hints = typing.get_type_hints(function, include_extras=True)
    described = parameter_docs(inspect.getdoc(function) or "")
    fields = []
    for name, parameter in inspect.signature(function).parameters.items():
        if hints.get(name) is context_type and name not in special:
            raise ValueError("@tool(context) must be set if passing in ToolContext param")
        if name in special:
            continue
        annotation = parameter.annotation
        if isinstance(annotation, str):
            annotation = hints.get(name, annotation)
        if annotation is EMPTY:
            annotation = typing.Any
        words, default = None, parameter.default
        if typing.get_origin(annotation) is typing.Annotated:
            annotation, *notes = typing.get_args(annotation)
            words = next((note for note in notes if isinstance(note, str)), None)
        if words is None:
            words = described.get(name) or f"Parameter {name}"
        if type(default).__name__ == "FieldInfo":
            # pydantic's Field(...) as a default.
            words = default.description or words
            default = EMPTY if default.is_required() else default.get_default(call_default_factory=True)
        fields.append(Field(name, annotation, default, words))
    return fields


def schema_of(fields):
    definitions = {}
    properties, required = {}, []
    for one in fields:
        schema = {**type_schema(one.annotation, definitions), "description": one.description}
        if one.default is EMPTY:
            required.append(one.name)
        else:
            value = plain(one.default)
            if value is not EMPTY:
                schema["default"] = value
            choices = schema.get("anyOf", [])
            if len(choices) == 2 and {"type": "null"} in choices:
                # An optional parameter is left out rather than set to null.
                del schema["anyOf"]
                schema.update(next(choice for choice in choices if choice != {"type": "null"}))
        for key in ("title", "additionalProperties"):
            schema.pop(key, None)
        properties[one.name] = schema
    schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    if definitions:
        schema["$defs"] = definitions
    return schema


def plain(value):
    """A default as a JSON value, or EMPTY if it cannot be one."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, (set, frozenset, tuple)):
        value = list(value)
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, datetime.timedelta):
        value = duration(value)
    if isinstance(value, (decimal.Decimal, uuid.UUID, pathlib.PurePath)):
        value = str(value)
    if isinstance(value, (datetime.date, datetime.time)):
        value = value.isoformat()
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return EMPTY


def duration(value):
    """A span of time in the form of ISO 8601."""
    sign, value = ("-", -value) if value < datetime.timedelta(0) else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
    clock = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M")) if n)
    if seconds or fraction or not (clock or value.days):
        clock += f"{seconds}{fraction}S"
    days = f"{value.days}D" if value.days else ""
    return f"{sign}P{days}" + (f"T{clock}" if clock else "")


def type_schema(kind, definitions):
    """The JSON Schema of a type."""
    if kind is typing.Any or kind is EMPTY or kind is object or isinstance(kind, typing.TypeVar):
        return {}
    if kind is None:
        return {"type": "null"}
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return type_schema(args[0], definitions)
    if origin in UNIONS:
        return union_schema(args, definitions)
    if origin is typing.Literal:
        return literal_schema(args)
    container = origin or kind
    if container in LISTS or (container is tuple and (not args or args[1:] == (Ellipsis,))):
        return {"type": "array", "items": type_schema(args[0], definitions) if args else {}}
    if container is tuple:
        items = [type_schema(arg, definitions) for arg in args if arg != ()]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if container in SETS:
        items = type_schema(args[0], definitions) if args else {}
        return {"type": "array", "items": items, "uniqueItems": True}
    if container in DICTS:
        values = type_schema(args[1], definitions) if args else {}
        return {"type": "object", "additionalProperties": values or True}
    if not isinstance(kind, type):
        return {}
    if kind in SIMPLE:
        return dict(SIMPLE[kind])
    if kind is decimal.Decimal:
        return json.loads(json.dumps(DECIMAL))
    return named_schema(kind, definitions)


def union_schema(args, definitions):
    choices = []
    for arg in args:
        schema = type_schema(arg, definitions)
        for choice in schema["anyOf"] if list(schema) == ["anyOf"] else [schema]:
            if choice not in choices:
                choices.append(choice)
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def literal_schema(values):
    values = [value.value if isinstance(value, enum.Enum) else value for value in values]
    schema = {"const": values[0]} if len(values) == 1 else {"enum": values}
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and kinds <= set(SIMPLE):
        schema.update(SIMPLE[kinds.pop()])
    return schema


def named_schema(kind, definitions):
    """A type with a name of its own: defined once and referred to."""
    if hasattr(kind, "model_json_schema"):
        schema = kind.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
    elif issubclass(kind, enum.Enum):
        schema = {**literal_schema([member.value for member in kind]), "title": kind.__name__}
        if "const" not in schema and kind.__doc__ and kind.__doc__ != "An enumeration.":
            schema["description"] = inspect.cleandoc(kind.__doc__)
    elif dataclasses.is_dataclass(kind) or typing_dict(kind):
        definitions.setdefault(kind.__name__, {})
        schema = record_schema(kind, definitions)
    elif issubclass(kind, pathlib.PurePath):
        return dict(SIMPLE[pathlib.Path])
    else:
        raise TypeError(f"the parameter type {kind.__name__} has no JSON form")
    definitions[kind.__name__] = schema
    return {"$ref": f"#/$defs/{kind.__name__}"}


def typing_dict(kind):
    return issubclass(kind, dict) and hasattr(kind, "__total__")


def record_schema(kind, definitions):
    hints = typing.get_type_hints(kind)
    if typing_dict(kind):
        needed = set(kind.__required_keys__)
        defaults = {}
    else:
        absent = dataclasses.MISSING
        needed = {f.name for f in dataclasses.fields(kind) if f.default is absent and f.default_factory is absent}
        defaults = {f.name: f.default for f in dataclasses.fields(kind) if f.default is not absent}
    properties = {}
    for name, hint in hints.items():
        schema = type_schema(hint, definitions)
        if "$ref" not in schema:
            schema["title"] = name.replace("_", " ").title()
        if name in defaults and plain(defaults[name]) is not EMPTY:
            schema["default"] = plain(defaults[name])
        properties[name] = schema
    schema = {"type": "object", "title": kind.__name__, "properties": properties}
    required = [name for name in hints if name in needed]
    if required:
        schema["required"] = required
    doc = kind.__doc__
    if doc and not doc.startswith(f"{kind.__name__}(") and not doc.startswith("dict("):
        schema["description"] = inspect.cleandoc(doc)
    return schema


def convert(fields, values):
    """The arguments of a call from JSON values. Whatever no parameter asks for is left out.

    Raises ValueError with the parameter's name.
    """
    arguments = {}
    for one in fields:
        if one.name in values:
            try:
                arguments[one.name] = to_python(one.annotation, values[one.name])
            except (TypeError, ValueError, KeyError) as error:
                raise ValueError(f"{one.name}: {error}") from error
        elif one.default is EMPTY:
            raise ValueError(f"{one.name}: Field required")
        else:
            arguments[one.name] = one.default
    return arguments


def to_python(kind, value):
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return to_python(args[0], value)
    if origin in UNIONS:
        return to_member(args, value)
    container = origin or kind
    if origin is typing.Literal:
        if value not in args:
            raise ValueError(f"{value!r} is not one of {', '.join(map(repr, args))}")
        return value
    if kind is bool:
        return checked(value, bool)
    if kind is int:
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value):
            return int(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return checked(value, int)
    if kind is float:
        return float(checked(value, (int, float, str)))
    if kind is str:
        return checked(value, str)
    if kind is bytes:
        return checked(value, str).encode()
    if container in LISTS or container is tuple or container in SETS:
        items = list(checked(value, list))
        if args and container is tuple and args[1:] != (Ellipsis,):
            items = [to_python(arg, item) for arg, item in zip(args, items)]
        elif args:
            items = [to_python(args[0], item) for item in items]
        return tuple(items) if container is tuple else container(items) if container in (set, frozenset) else items
    if container in DICTS:
        entries = checked(value, dict)
        return {key: to_python(args[1], item) for key, item in entries.items()} if args else entries
    if kind in (datetime.datetime, datetime.date, datetime.time):
        return kind.fromisoformat(checked(value, str).replace("Z", "+00:00"))
    if kind in (uuid.UUID, pathlib.Path, decimal.Decimal):
        return kind(str(value))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    # Strands gives nested records as plain dicts.
    return value


def to_member(kinds, value):
    """The first member of a union that takes the value: exactly, if one does, else by conversion."""
    exact = [kind for kind in kinds if isinstance(kind, type) and type(value) is kind]
    for kind in exact + list(kinds):
        if kind is type(None):
            if value is None:
                return None
            continue
        try:
            return to_python(kind, value)
        except (TypeError, ValueError, KeyError):
            continue
    raise ValueError("the value fits none of the types")


def checked(value, kinds):
    wants_bool = kinds is bool
    if not isinstance(value, kinds) or (isinstance(value, bool) and not wants_bool):
        raise ValueError(f"unexpected {type(value).__name__}")
    return value


def description_of(function):
    """The docstring without its section of parameters; the name, if nothing is left."""
    kept, skipping = [], False
    for line in (inspect.getdoc(function) or "").strip().split("\n"):
        start = line.strip().lower()
        if start.startswith(ARGS):
            skipping = True
            continue
        if start.startswith(OTHERS):
            skipping = False
        if not skipping:
            kept.append(line)
    return "\n".join(kept).strip() or function.__name__


def parameter_docs(doc):
    """What a docstring says of each parameter, in Google's, Sphinx's or NumPy's form."""
    return google_docs(doc) or sphinx_docs(doc) or numpy_docs(doc)


def google_docs(doc):
    section = re.search(r"^(?:Args|Arguments|Parameters|Params):[ \t]*\n((?:[ \t]+\S.*\n?|[ \t]*\n)*)", doc, re.M)
    if not section:
        return {}
    body = section.group(1)
    first = re.match(r"\s*?([ \t]+)\S", body)
    if not first:
        return {}
    indent = first.group(1)
    found = {}
    for chunk in re.split(rf"^{indent}(?=\S)", body, flags=re.M)[1:]:
        head, colon, rest = chunk.partition(":")
        if not colon:
            continue
        name = re.match(r"\S+", head.replace("(", " (").strip())
        line, _, more = rest.partition("\n")
        text = line.strip() + ("\n" + inspect.cleandoc(more) if more.strip() else "")
        if name:
            found[name.group(0).lstrip("*")] = text.strip()
    return found


def sphinx_docs(doc):
    parts = re.split(r"^:", doc, flags=re.M)[1:]
    found = {}
    for part in parts:
        match = re.match(r"(?:param|parameter|arg|argument|key|keyword)\s+(?:\S+\s+)*?(\S+?):\s*(.*)", part, re.S)
        if match:
            lines = match.group(2).strip().split("\n")
            found[match.group(1)] = "\n".join(line.strip() for line in lines)
    return found


def numpy_docs(doc):
    section = re.search(r"^Parameters\n-{3,}\n(.*?)(?=^\S.*\n-{3,}|\Z)", doc, re.M | re.S)
    if not section:
        return {}
    found = {}
    for chunk in re.split(r"^(?=\S)", section.group(1), flags=re.M):
        head, _, rest = chunk.partition("\n")
        name = head.split(":")[0].strip()
        if name and rest.strip():
            found[name] = inspect.cleandoc(rest).strip()
    return found
