"""Stands in for the package `strands` where it is not installed: the decorator `tool`, with the same tool
specification from a function's signature, type hints and docstring, and the same form of results.

Everything else of the package is missing, and importing it says so.
"""

import asyncio
import functools
import inspect
import json
import sys
import threading
import types
import typing
from dataclasses import dataclass, field

import strands_schema


@dataclass
class ToolContext:
    """What a tool with `context=True` is given. There is no agent object here."""

    tool_use: dict
    agent: typing.Any = None
    invocation_state: dict = field(default_factory=dict)
    cancel_signal: typing.Any = field(default_factory=threading.Event)

    def __getitem__(self, key):
        return getattr(self, key)


class DecoratedFunctionTool:
    """A function that is a tool, too. Called as a function it is the function."""

    tool_type = "function"

    def __init__(self, function, spec, fields, context_name):
        self._function, self._fields, self._context_name = function, fields, context_name
        self.tool_spec = spec
        functools.update_wrapper(self, function)

    @property
    def tool_name(self):
        return self.tool_spec["name"]

    def __get__(self, instance, owner=None):
        if instance is None or inspect.ismethod(self._function):
            return self
        bound = self._function.__get__(instance, type(instance))
        return DecoratedFunctionTool(bound, self.tool_spec, self._fields, self._context_name)

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)

    async def stream(self, tool_use, invocation_state, **_):
        """Yields what an async generator yields, wrapped, and last the result."""
        number = tool_use.get("toolUseId", "unknown")
        try:
            arguments = strands_schema.convert(self._fields, tool_use.get("input", {}))
        except ValueError as error:
            yield failure(number, f"Error: Validation failed for input parameters: {error}")
            return
        names = inspect.signature(self._function).parameters
        if self._context_name in names:
            arguments[self._context_name] = ToolContext(tool_use, invocation_state.get("agent"), invocation_state)
        if "agent" in names:
            arguments["agent"] = invocation_state.get("agent")
        try:
            if inspect.isasyncgenfunction(self._function):
                value = None
                async for value in self._function(**arguments):
                    yield {"tool_stream_event": {"tool_use": tool_use, "data": value}}
            elif inspect.iscoroutinefunction(self._function):
                value = await self._function(**arguments)
            else:
                value = await asyncio.to_thread(self._function, **arguments)
        except ValueError as error:
            yield failure(number, f"Error: {error}")
        except Exception as error:
            yield failure(number, f"Error: {type(error).__name__} - {error}")
        else:
            yield wrap(number, value)


def failure(number, text):
    return {"tool_result": {"toolUseId": number, "status": "error", "content": [{"text": text}]}}


def wrap(number, value):
    """A returned value in the form of a result; one that has the form already only gets its number."""
    if isinstance(value, dict) and "status" in value and "content" in value:
        return {"tool_result": {**value, "toolUseId": number}}
    if isinstance(value, str):
        text = value
    elif hasattr(value, "model_dump_json"):
        text = value.model_dump_json()
    else:
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            text = str(value)
    return {"tool_result": {"toolUseId": number, "status": "success", "content": [{"text": text}]}}


def tool(func=None, description=None, inputSchema=None, name=None, context=False):
    """The decorator, with and without arguments."""
    context_name = ("tool_context" if context else None) if isinstance(context, bool) else context.strip()
    if context_name == "":
        raise ValueError("Context parameter name cannot be empty")

    def decorate(function):
        fields = strands_schema.fields_of(function, {"self", "cls", "agent", context_name}, ToolContext)
        schema = strands_schema.schema_of(fields)
        spec = {
            "name": function.__name__ if name is None else name,
            "description": strands_schema.description_of(function) if description is None else description,
            "inputSchema": {"json": schema} if inputSchema is None else inputSchema,
        }
        return DecoratedFunctionTool(function, spec, fields, context_name)

    return decorate if func is None else decorate(func)


def install():
    """Makes `from strands import tool` find the shim."""
    def module(name, **content):
        made = types.ModuleType(name)
        made.__dict__.update(content)
        made.__path__ = []

        def missing(attribute):
            raise AttributeError(
                f"{name}.{attribute} needs the package strands-agents, which is not installed for Loquat's Python tools")

        made.__getattr__ = missing
        sys.modules[name] = made
        return made

    shared = {"tool": tool, "ToolContext": ToolContext}
    kinds = {kind: dict for kind in ("ToolUse", "ToolResult", "ToolResultContent", "ToolSpec")}
    root = module("strands", **shared)
    root.tools = module("strands.tools", tool=tool)
    root.tools.decorator = module("strands.tools.decorator", tool=tool, DecoratedFunctionTool=DecoratedFunctionTool)
    root.types = module("strands.types")
    root.types.tools = module("strands.types.tools", ToolContext=ToolContext, **kinds)
