TOOL_SPEC = {
    "name": "by_convention",
    "description": "A module-based tool.",
    "inputSchema": {"json": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
}


def by_convention(tool, **kwargs):
    number = tool["input"]["n"]
    return {"toolUseId": tool["toolUseId"], "status": "success", "content": [{"text": f"n={number}"}]}
