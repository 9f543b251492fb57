"""What the authors of `document.py` would do next: the model and its SDK client are built once, at start. Run with
uvloop and httptools."""

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from document import ChatRequest, build_model, stream

app = FastAPI()
model = build_model()


@app.get("/health")
async def health():
    return {"status": "ok"}


@app.post("/chat")
async def chat(request: ChatRequest):
    return StreamingResponse(stream(request, model), media_type="text/event-stream")
