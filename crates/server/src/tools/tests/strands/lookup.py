from __future__ import annotations

import asyncio
import base64
import time

import boto3
from strands import tool

from _shared import PREFIX

# Made once for the worker's life, outside of any call.
s3 = boto3.client("s3", region_name="eu-central-1")


@tool
async def lookup(key: str, delay: float = 0.0) -> str:
    """Looks a key up.

    Args:
        key (str): The key.
        delay: Seconds to wait.
    """
    await asyncio.sleep(delay)
    return f"{PREFIX}{key} in {s3.meta.region_name}"


@tool
def sleeper(seconds: float) -> str:
    """Sleeps."""
    time.sleep(seconds)
    return "slept"


@tool
async def steps(n: int = 2):
    """Yields as it goes."""
    for i in range(n):
        yield f"step {i}"
    yield {"status": "success", "content": [
        {"text": "done"}, {"image": {"format": "png", "source": {"bytes": base64.b64decode("AAEC")}}}]}
