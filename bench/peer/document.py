"""The reference system's handler as its document describes it: on each request an agent with its model is built, called,
and its answer streamed as SSE. No session bucket, so it is stateless, as the reference is without one."""

import json
import os
import uuid

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from strands import Agent
from strands.models import BedrockModel

app = FastAPI()


class ChatRequest(BaseModel):
    message: str
    session_id: str | None = None


@app.get("/health")
async def health():
    return {"status": "ok"}


def sse(data: dict, event: str | None = None) -> str:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data)}\n\n"


def build_model() -> BedrockModel:
    return BedrockModel(model_id=os.environ["MODEL_ID"], streaming=True)


async def stream(request: ChatRequest, model: BedrockModel):
    session_id = request.session_id or str(uuid.uuid4())
    yield sse({"session_id": session_id}, "metadata")
    try:
        agent = Agent(model=model, messages=[], callback_handler=None)
        async for event in agent.stream_async(request.message):
            if "data" in event:
                yield sse({"text": event["data"]})
        yield sse({}, "done")
    except Exception as error:  # what goes wrong after the head can only be said in the stream
        yield sse({"error": str(error)}, "error")


@app.post("/chat")
async def chat(request: ChatRequest):
    return StreamingResponse(stream(request, build_model()), media_type="text/event-stream")
