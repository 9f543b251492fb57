from strands import tool


@tool
def never(a: str) -> str
    return a
