"""A server of the Model Context Protocol in plain Python: two tools over standard input and output. With the official
SDK (`pip install mcp`) it would be a few lines; this one shows what goes over the pipe and needs nothing."""
import json
import sys

NOTES = []
TOOLS = [
    {
        "name": "write", "description": "Keeps a note.",
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    },
    {
        "name": "search", "description": "Finds notes that contain a word.", "annotations": {"readOnlyHint": True},
        "inputSchema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    },
]


def call(name, arguments):
    if name == "write":
        NOTES.append(arguments["text"])
        return f"Kept; there are {len(NOTES)} notes."
    found = [note for note in NOTES if arguments["word"].lower() in note.lower()]
    return "\n".join(found) or "There is no such note."


def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "notes", "version": "1"}}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": call(params["name"], params.get("arguments") or {})}]}
    if method == "ping":
        return {}
    raise LookupError(method)


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    reply = {"jsonrpc": "2.0", "id": request["id"]}
    try:
        reply["result"] = answer(request["method"], request.get("params") or {})
    except LookupError:
        reply["error"] = {"code": -32601, "message": "Method not found"}
    print(json.dumps(reply), flush=True)
