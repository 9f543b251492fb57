"""Tools as users of the reference write them: typed parameters with defaults, a docstring with Args."""
import json
import os
from typing import Any, Dict, List, Literal, Optional

from strands import tool

try:
    from index import emit_sse_event
except ImportError:
    def emit_sse_event(event_type: str, data: dict) -> None:
        pass


@tool
def get_weather(city: str, days: int = 3, units: Literal["metric", "imperial"] = "metric",
                detail: Optional[str] = None) -> Dict[str, Any]:
    """
    Get the weather forecast for a city.

    Use this when the user asks about weather.

    Args:
        city: The name of the city,
            with its country if it is ambiguous
        days: Number of days (default: 3)
        units: Which units to use
        detail: How much detail

    Returns:
        A dictionary with the forecast.
    """
    print("this goes to standard error, not into the protocol")
    emit_sse_event("schema", {"data": [city]})
    for day in range(days):
        emit_sse_event("preview", {"day": day})
    return {"status": "success", "content": [{"json": {"city": city, "days": days, "units": units, "detail": detail}}]}


@tool(name="who_asks", description="Tells who is asking.", context=True)
def whoami(tool_context, note: str = "") -> str:
    return json.dumps({
        "session": os.environ.get("CURRENT_SESSION_ID"), "user": os.getenv("CURRENT_USER_ID"), "note": note,
        "call": tool_context.tool_use["toolUseId"], "secret": os.environ.get("SECRET_OF_THE_SERVER"),
        "listed": os.environ.get("LISTED"),
    })


@tool
def fails(how: str, items: List[str] = []) -> str:
    """Fails in different ways."""
    if how == "value":
        raise ValueError("not like this")
    if how == "status":
        return {"status": "error", "content": [{"text": "it did not work"}]}
    if how == "exit":
        raise SystemExit(7)
    if how == "kill":
        os._exit(9)
    if how == "object":
        return object
    return 1 / 0


def not_a_tool(a):
    return a
