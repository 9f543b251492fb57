"""Strands tools, each showing one thing. `from strands import tool` works without the package: then a small stand-in of
Loquat's provides the decorator."""
import asyncio
import random
from typing import Literal

from strands import tool


@tool
def convert_temperature(value: float, to: Literal["celsius", "fahrenheit"]) -> str:
    """Converts a temperature. The input is checked against the types before this runs.

    Args:
        value: The temperature in the other unit
        to: The unit that is wanted
    """
    if to == "celsius":
        return f"{(value - 32) * 5 / 9:.1f} °C"
    return f"{value * 9 / 5 + 32:.1f} °F"


@tool
def roll_dice(count: int = 1, sides: int = 6) -> dict:
    """Rolls dice. An exception here is a result that the model reads; the conversation goes on.

    Args:
        count: How many
        sides: How many sides each has
    """
    if not 1 <= count <= 100 or sides < 2:
        raise ValueError("between 1 and 100 dice with at least two sides")
    rolls = [random.randint(1, sides) for _ in range(count)]
    return {"status": "success", "content": [{"json": {"rolls": rolls, "sum": sum(rolls)}}]}


@tool
async def count_slowly(to: int = 3):
    """Counts. What it yields on the way is shown as progress.

    Args:
        to: The last number
    """
    for number in range(1, to + 1):
        yield f"{number} of {to}"
        await asyncio.sleep(0.05)
    yield {"status": "success", "content": [{"text": f"counted to {to}"}]}
