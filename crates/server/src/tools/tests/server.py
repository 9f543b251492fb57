"""An MCP stdio server for tests, whose first argument says how it behaves or misbehaves."""

import json
import sys
import time

MODE = sys.argv[1]
VERSION = sys.argv[2] if len(sys.argv) > 2 else "2025-11-25"
TOOLS = ["ping", "slow", "die", "mute", "grow"]
META = "io.modelcontextprotocol/subscriptionId"
listening = None


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def listed():
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
    if MODE == "bad_schemas":
        tools.append({"name": "broken", "inputSchema": {"type": "object", "properties": {"a": {"type": 5}}}})
        tools.append({"name": "listy", "inputSchema": {"type": "array"}})
    return tools


def garbage(*more):
    for line in ("this is not JSON", "{}", "[1,2", "\x00\xff", "null", *more):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def call(number, name, params):
    global listening
    if name == "die":
        print("fatal: out of cheese", file=sys.stderr, flush=True)
        sys.exit(3)
    if MODE == "elicits":
        send({"id": "question", "method": "elicitation/create", "params": {
            "message": "Your password?",
            "requestedSchema": {"type": "object", "properties": {"password": {"type": "string"}}}}})
        answer = json.loads(sys.stdin.readline())
        return send({"id": number, "result": {"content": [{"type": "text", "text": json.dumps(answer["result"])}]}})
    if name == "mute":
        if MODE == "freezes":
            time.sleep(3600)
        return
    if name == "slow":
        token = params["_meta"]["progressToken"]
        for step in (1, 2, 3):
            send({"method": "notifications/progress", "params": {
                "progressToken": token, "progress": step, "total": 3, "message": f"step {step}"}})
    if name == "grow":
        TOOLS.append(f"extra{len(TOOLS)}")
        note = {"method": "notifications/tools/list_changed", "params": {}}
        if listening is not None:
            note["params"] = {"_meta": {META: listening}}
        send(note)
    if MODE == "odd_results":
        return send({"id": number, "result": {"something": "else"}})
    result = {"content": [{"type": "text", "text": name}]}
    if VERSION == "2026-07-28":
        result["resultType"] = "complete"
    send({"id": number, "result": result})


def main():
    global listening
    if MODE == "silent":
        time.sleep(3600)
    if MODE == "garbage":
        garbage()
    for line in sys.stdin:
        message = json.loads(line)
        method, number, params = message.get("method"), message.get("id"), message.get("params", {})
        if method == "server/discover":
            if MODE == "ends_at_discover":
                sys.exit(1)
            if VERSION != "2026-07-28":
                send({"id": number, "error": {"code": -32601, "message": "Method not found"}})
                continue
            send({"id": number, "result": {
                "resultType": "complete", "supportedVersions": [VERSION], "ttlMs": 0, "cacheScope": "private",
                "capabilities": {"tools": {"listChanged": True}}}})
        elif method == "subscriptions/listen":
            listening = number
            send({"method": "notifications/subscriptions/acknowledged", "params": {
                "_meta": {META: number}, "notifications": params["notifications"]}})
        elif method == "initialize":
            send({"id": number, "result": {
                "protocolVersion": VERSION, "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "test", "version": "1"}}})
        elif method == "tools/list":
            result = {"tools": listed()}
            if VERSION == "2026-07-28":
                result.update(resultType="complete", ttlMs=0, cacheScope="private")
            send({"id": number, "result": result})
        elif method == "tools/call":
            if MODE == "garbage":
                garbage('{"jsonrpc":"2.0","id":999,"result":{}}', '{"jsonrpc":"2.0","id":998,"error":{}}')
            call(number, params["name"], params)
        elif method == "notifications/cancelled":
            print("cancelled", params.get("requestId"), file=sys.stderr, flush=True)
        elif number is not None and method is not None:
            send({"id": number, "error": {"code": -32601, "message": "Method not found"}})


main()
