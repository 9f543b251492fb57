"""Runs Strands tools as an MCP server on standard input and output.

Started by Loquat with one argument, a JSON file: {"sources": [{"path", "label"}], "strands": "auto" | "shim"}. A path is
one .py file or a folder of them. Needs nothing but Python 3.9 or newer; what the tools themselves import is their own
affair. A module that cannot be loaded is reported with file and line, and the others work.
"""

import asyncio
import base64
import contextvars
import importlib.util
import inspect
import json
import os
import sys
import threading
import traceback
import types

PROTOCOLS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
MIME_TYPES = {
    "pdf": "application/pdf", "csv": "text/csv", "txt": "text/plain", "md": "text/markdown", "html": "text/html",
    "doc": "application/msword", "xls": "application/vnd.ms-excel",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
# Threads cannot be stopped. A worker in which so many calls were given up but still run is replaced.
MOST_ABANDONED = 32

current_call = contextvars.ContextVar("loquat_call")


class Wire:
    """The two ends of the protocol, out of the reach of tools: their print() goes to standard error."""

    def __init__(self):
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
        self._in = os.fdopen(os.dup(0), "r", encoding="utf-8", errors="replace")
        self._lock = threading.Lock()
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        sys.stdout = sys.stderr

    def lines(self):
        return self._in

    def send(self, message):
        text = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=True)
        with self._lock:
            self._out.write(text + "\n")
            self._out.flush()


class Call:
    """One call that is being answered."""

    def __init__(self, wire, token, about):
        self._wire = wire
        self._token = token
        self._lock = threading.Lock()
        self._progress = 0
        self.events = 0
        self.session_id = about.get("session_id") or ""
        self.user = about.get("user") or ""
        self.call_id = about.get("call_id") or ""
        self.over = threading.Event()

    def emit(self, event, data):
        if self._token is None or self.over.is_set():
            return
        data = json.loads(json.dumps(data, default=str))
        with self._lock:
            params = {"progressToken": self._token, "seq": self.events, "event": str(event), "data": data}
            self.events += 1
            self._wire.send({"method": "notifications/loquat/event", "params": params})

    def progress(self, message):
        if self._token is None or self.over.is_set():
            return
        with self._lock:
            self._progress += 1
            self._wire.send({"method": "notifications/progress", "params": {
                "progressToken": self._token, "progress": self._progress, "message": message}})


def emit_sse_event(event_type, data):
    """What the reference's handler offers to tools as `index.emit_sse_event`: an event for the client."""
    call = current_call.get(None)
    if call is not None:
        call.emit(event_type, data)


class Environ(type(os.environ)):
    """The environment, in which the reference's two per-request variables are those of the call that asks."""

    _PER_CALL = {"CURRENT_SESSION_ID": "session_id", "CURRENT_USER_ID": "user"}

    def __init__(self, inner):
        self.__dict__.update(inner.__dict__)

    def __getitem__(self, key):
        field = self._PER_CALL.get(key)
        call = current_call.get(None)
        if field is not None and call is not None:
            return getattr(call, field)
        return super().__getitem__(key)


class Unloadable(Exception):
    """A module that cannot be used, in words."""


class Tool:
    """A tool: its spec, and how it is called with (input, call) in whatever way the module wants."""

    def __init__(self, name, description, schema, run):
        self.name, self.description, self.schema, self.run = name, description, schema, run

    def listed(self):
        return {"name": self.name, "description": self.description, "inputSchema": self.schema}


def decorated(found):
    """A Tool from a function that carries Strands' decorator, the installed one's or the shim's."""
    spec = found.tool_spec
    schema = spec["inputSchema"]

    async def run(arguments, call):
        use = {"toolUseId": call.call_id, "name": spec["name"], "input": arguments}
        state = {"agent": None, "session_id": call.session_id, "user_id": call.user}
        result = None
        async for event in found.stream(use, state):
            # The installed package wraps its events; the shim gives them as they are.
            if isinstance(event, dict) and "tool_result" in event:
                result = event["tool_result"]
            elif isinstance(event, dict) and "tool_stream_event" in event:
                call.progress(as_text(event["tool_stream_event"].get("data")))
            elif isinstance(event, dict) and "tool_interrupt_event" in event:
                raise RuntimeError("the tool asks for an interrupt, which is not available here")
            else:
                result = event
        return result

    return Tool(spec["name"], spec.get("description", ""), schema.get("json", schema), run)


def by_convention(module, spec):
    """A Tool from a module with TOOL_SPEC and a function of that name, Strands' other form."""
    name = spec["name"]
    function = getattr(module, name, None)
    if not callable(function):
        raise Unloadable(f"TOOL_SPEC names \"{name}\", but there is no such function")
    schema = spec["inputSchema"]

    async def run(arguments, call):
        use = {"toolUseId": call.call_id, "name": name, "input": arguments}
        if inspect.iscoroutinefunction(function):
            return await function(use)
        return await asyncio.to_thread(function, use)

    return Tool(name, spec.get("description", ""), schema.get("json", schema), run)


def tools_of(module):
    found, seen = [], set()
    for attribute in sorted(vars(module)):
        value = vars(module)[attribute]
        is_tool = callable(value) and hasattr(value, "tool_spec") and hasattr(value, "stream")
        if is_tool and not inspect.isclass(value) and id(value) not in seen:
            seen.add(id(value))
            found.append(decorated(value))
    spec = getattr(module, "TOOL_SPEC", None)
    if isinstance(spec, dict):
        found.append(by_convention(module, spec))
    return found


def load(path, serial):
    """Runs one file as a module. Its folder is importable, as in the reference."""
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = os.path.splitext(os.path.basename(path))[0]
    if name in sys.modules:
        name = f"loquat_tool_{serial}_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        return tools_of(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise


def place(error, path):
    """The line of the file that an error is about."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines else None


def files_of(source):
    path, label = source["path"], source["label"]
    if not os.path.isdir(path):
        return [(path, label)]
    names = sorted(name for name in os.listdir(path) if name.endswith(".py") and not name.startswith("_"))
    return [(os.path.join(path, name), f"{label.rstrip('/')}/{name}") for name in names]


def load_all(sources):
    tools, problems = {}, []
    for source in sources:
        for path, label in files_of(source):
            # A module that never returns is named by the last line of the error output.
            print(f"loading {label}", file=sys.stderr, flush=True)
            try:
                loaded = load(path, len(tools))
            except (Exception, SystemExit) as error:
                line = place(error, path)
                where = f"{label}:{line}" if line else label
                text = error.msg if isinstance(error, SyntaxError) else str(error)
                problems.append(f"{where}: {type(error).__name__}: {text}")
                continue
            if not loaded:
                problems.append(f"{label}: it has no tools")
            for tool in loaded:
                if tool.name in tools:
                    problems.append(f"{label}: there is a tool \"{tool.name}\" already")
                else:
                    tools[tool.name] = tool
    return tools, problems


def as_text(value):
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


def mcp_block(block):
    """One block of a Strands result as MCP content."""
    if "text" in block:
        return {"type": "text", "text": as_text(block["text"])}
    for kind in ("image", "document"):
        source = block[kind].get("source", {}) if kind in block else {}
        data = source.get("bytes")
        if isinstance(data, (bytes, bytearray)):
            data = base64.b64encode(data).decode()
            form = block[kind].get("format", "")
            if kind == "image":
                return {"type": "image", "data": data, "mimeType": f"image/{form}"}
            mime = MIME_TYPES.get(form, "application/octet-stream")
            uri = f"document:{block[kind].get('name', 'document')}"
            return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "blob": data}}
    return {"type": "text", "text": as_text(block.get("json", block))}


def mcp_result(result):
    """What a tool returned as an MCP result: a Strands result, or any other value."""
    if not (isinstance(result, dict) and "status" in result and "content" in result):
        return {"content": [{"type": "text", "text": as_text(result)}], "isError": False}
    blocks = result["content"] if isinstance(result["content"], list) else [{"text": as_text(result["content"])}]
    blocks = [block if isinstance(block, dict) else {"text": as_text(block)} for block in blocks]
    answer = {"content": [mcp_block(block) for block in blocks], "isError": result["status"] == "error"}
    values = [block["json"] for block in blocks if isinstance(block.get("json"), dict)]
    if len(blocks) == 1 and len(values) == 1:
        answer["content"] = [{"type": "text", "text": json.dumps(values[0], default=str)}]
        answer["structuredContent"] = json.loads(answer["content"][0]["text"])
    return answer


class Server:
    """Answers the protocol's requests."""

    def __init__(self, wire, tools, problems):
        self._wire, self._tools, self._problems = wire, tools, problems
        self._running = {}
        self._abandoned = 0

    async def serve(self):
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue()

        def read():
            for line in self._wire.lines():
                loop.call_soon_threadsafe(queue.put_nowait, line)
            loop.call_soon_threadsafe(queue.put_nowait, None)

        threading.Thread(target=read, daemon=True).start()
        while (line := await queue.get()) is not None:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                self._handle(message)
        # The server is gone; calls that still run must not keep this process.
        os._exit(0)

    def _handle(self, message):
        number, method, params = message.get("id"), message.get("method"), message.get("params") or {}
        if method == "notifications/cancelled":
            running = self._running.get(params.get("requestId"))
            if running is not None:
                running[1].over.set()
                running[0].cancel()
        elif number is None or method is None:
            return
        elif method == "initialize":
            wanted = params.get("protocolVersion")
            self._reply(number, {
                "protocolVersion": wanted if wanted in PROTOCOLS else PROTOCOLS[0],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "loquat-python-tools", "version": "1"},
                "instructions": json.dumps(self._problems),
            })
        elif method == "ping":
            self._reply(number, {})
        elif method == "tools/list":
            self._reply(number, {"tools": [tool.listed() for tool in self._tools.values()]})
        elif method == "tools/call":
            tool = self._tools.get(params.get("name"))
            if tool is None:
                self._fail(number, -32602, f"there is no tool {params.get('name')!r}")
                return
            meta = params.get("_meta") or {}
            call = Call(self._wire, meta.get("progressToken"), meta.get("loquat/call") or {})
            task = asyncio.get_running_loop().create_task(self._call(number, tool, params, call))
            self._running[number] = (task, call)
        else:
            self._fail(number, -32601, "Method not found")

    def _reply(self, number, result):
        self._wire.send({"id": number, "result": result})

    def _fail(self, number, code, text):
        self._wire.send({"id": number, "error": {"code": code, "message": text}})

    async def _call(self, number, tool, params, call):
        current_call.set(call)
        try:
            result = mcp_result(await tool.run(params.get("arguments") or {}, call))
        except asyncio.CancelledError:
            return
        except (Exception, SystemExit) as error:
            text = f"Error: {type(error).__name__} - {error}"
            result = {"content": [{"type": "text", "text": text}], "isError": True}
        finally:
            call.over.set()
            self._running.pop(number, None)
        result["_meta"] = {"loquat/events": call.events}
        self._reply(number, result)


async def run_in_thread(function, *args, **kwargs):
    """In place of asyncio.to_thread, whose pool a few calls that never return would fill for good."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    context = contextvars.copy_context()

    def settle(value, error):
        if future.cancelled():
            run_in_thread.abandoned -= 1
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    def work():
        value, failure = None, None
        try:
            value = context.run(function, *args, **kwargs)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            # StopIteration and SystemExit cannot travel through a future.
            failure = error
            if not isinstance(error, Exception) or isinstance(error, StopIteration):
                failure = RuntimeError(f"{type(error).__name__}: {error}")
        try:
            loop.call_soon_threadsafe(settle, value, failure)
        except RuntimeError:
            pass

    threading.Thread(target=work, daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError:
        run_in_thread.abandoned += 1
        if run_in_thread.abandoned >= MOST_ABANDONED:
            print("too many calls were given up but still run; ending", file=sys.stderr, flush=True)
            os._exit(70)
        raise


run_in_thread.abandoned = 0


def main():
    wire = Wire()
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    asyncio.to_thread = run_in_thread
    os.environ = Environ(os.environ)
    # Tools of the reference import the emitter from its handler module.
    index = types.ModuleType("index")
    index.emit_sse_event = emit_sse_event
    sys.modules["index"] = index
    installed = plan["strands"] == "auto" and importlib.util.find_spec("strands") is not None
    if not installed:
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        import strands_shim
        strands_shim.install()
        sys.path.pop(0)
    tools, problems = load_all(plan["sources"])
    asyncio.run(Server(wire, tools, problems).serve())


if __name__ == "__main__":
    main()
