"""The openai package for Python against `/v1/chat/completions`: argv is the server's address, an API key and the model."""

import json
import sys

import openai

address, key, model = sys.argv[1:4]
client = openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=30)
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a"],
        },
    },
}


def ask(text, **more):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], **more
    )


def refused(call):
    """The class of the error, its status and what it names."""
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.param, error.code, error.type]
    except openai.APIError as error:
        return [type(error).__name__, None, error.param, error.code, error.type]
    return "answered"


found = {}
found["models"] = [m.id for m in client.models.list()]
found["model"] = client.models.retrieve(found["models"][1]).id

whole = ask('say="Grüße 👋🏽 you"')
choice = whole.choices[0]
found["whole"] = [whole.object, whole.model, choice.message.role, choice.message.content, choice.finish_reason]
found["usage"] = whole.usage.prompt_tokens > 0 and whole.usage.total_tokens == (
    whole.usage.prompt_tokens + whole.usage.completion_tokens
)

chunks = list(ask('say="Grüße 👋🏽 you" chunk=1', stream=True, stream_options={"include_usage": True}))
deltas = [c.choices[0].delta for c in chunks if c.choices]
found["stream"] = {
    "text": "".join(d.content or "" for d in deltas),
    "roles": [d.role for d in deltas if d.role],
    "finish": [c.choices[0].finish_reason for c in chunks if c.choices][-1],
    "ids": len({c.id for c in chunks}),
    "times": len({c.created for c in chunks}),
    "usage": [bool(c.usage) for c in chunks] == [False] * (len(chunks) - 1) + [True],
    "last_choices": chunks[-1].choices,
}

# The helper of the package accumulates the stream and checks its order.
with client.chat.completions.stream(
    model=model,
    messages=[{"role": "user", "content": 'tool=add {"a": 2} parallel tool=add {"a": 3} say="no"'}],
    tools=[ADD],
) as stream:
    for _ in stream:
        pass
    accumulated = stream.get_final_completion().choices[0]
found["streamed_calls"] = [
    accumulated.finish_reason,
    [json.loads(c.function.arguments) for c in accumulated.message.tool_calls],
]

question = {"role": "user", "content": 'tool=add {"a": 1, "b": 2} say="It is 3."'}
first = client.chat.completions.create(
    model=model, messages=[{"role": "system", "content": "Be brief."}, question], tools=[ADD]
)
call = first.choices[0].message.tool_calls[0]
found["call"] = [first.choices[0].finish_reason, first.choices[0].message.content, call.function.name]
second = client.chat.completions.create(
    model=model,
    messages=[
        {"role": "system", "content": "Be brief."},
        question,
        first.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "3"},
    ],
    tools=[ADD],
)
found["after_call"] = [second.choices[0].finish_reason, second.choices[0].message.content]

# The agent's own tool runs on the server and shows in an extension only.
own = ask('tool=calculator {"expression": "6*7"} say="It is 42."')
found["own_tool"] = {
    "calls": own.choices[0].message.tool_calls,
    "text": own.choices[0].message.content,
    "finish": own.choices[0].finish_reason,
    "shown": [[t["name"], t["input"], t["output"]] for t in own.loquat["tools"]],
}
own = list(ask('tool=calculator {"expression": "6*7"} say="It is 42."', stream=True))
found["own_tool_streamed"] = {
    "calls": any(c.choices[0].delta.tool_calls for c in own),
    "text": "".join(c.choices[0].delta.content or "" for c in own),
    "shown": [list(c.loquat) for c in own if getattr(c, "loquat", None)],
}

found["length"] = ask('say="cut off" reason=max_tokens').choices[0].finish_reason
found["filter"] = ask('say="no" reason=content_filtered').choices[0].finish_reason
thought = ask('reasoning=2 say="yes"').choices[0].message
found["reasoning"] = [bool(thought.reasoning_content), thought.content]

session = {"metadata": {"session_id": "chat-py"}}
ask('say="one"', **session)
kept = ask('say="two"', **session)
found["session"] = [kept.choices[0].message.content, kept.loquat["session_id"]]
waits = ask('tool=add {"a": 1} say="three"', tools=[ADD], **session).choices[0].message
answered = client.chat.completions.create(
    model=model,
    messages=[{"role": "tool", "tool_call_id": waits.tool_calls[0].id, "content": "1"}],
    tools=[ADD],
    **session,
)
found["session_tool"] = answered.choices[0].message.content

SHAPE = {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]}
shaped = ask(
    'tool=calculator {"expression": "6*7"} say="{}"',
    seed=7,
    response_format={"type": "json_schema", "json_schema": {"name": "sum", "schema": SHAPE, "strict": True}},
    tool_choice="required",
)
found["shaped"] = shaped.choices[0].message.content
ask('say="any object"', response_format={"type": "json_object"})
named = {"type": "function", "function": {"name": "add"}}
forced = ask('tool=add {"a": 1} say="named"', tools=[ADD], tool_choice=named)
found["forced"] = forced.choices[0].message.tool_calls[0].function.name
found["errors"] = {
    "key": refused(lambda: openai.OpenAI(base_url=f"{address}/v1", api_key="loquat_no", max_retries=0).models.list()),
    "model": refused(lambda: client.chat.completions.create(model="gpt-none", messages=[])),
    "n": refused(lambda: ask("x", n=2)),
    "format": refused(lambda: ask("x", response_format={"type": "xml"})),
    "no_such_tool": refused(
        lambda: ask("x", tools=[ADD], tool_choice={"type": "function", "function": {"name": "sub"}})
    ),
    "unknown": refused(lambda: ask("x", extra_body={"top_k": 4})),
    "temperature": refused(lambda: ask("x", temperature=3)),
    "messages": refused(lambda: client.chat.completions.create(model=model, messages=[])),
    "role": refused(lambda: client.chat.completions.create(model=model, messages=[{"role": "x", "content": "y"}])),
    "image": refused(
        lambda: ask([{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}])
    ),
    "own_name": refused(
        lambda: ask("x", tools=[{"type": "function", "function": {"name": "calculator"}}])
    ),
    "throttled": refused(lambda: ask("error=throttlingException")),
    "refused_by_model": refused(lambda: ask("error=400")),
    "embeddings": refused(lambda: client.embeddings.create(model=model, input="x")),
    "method": refused(lambda: client.get("/chat/completions", cast_to=object)),
    "session": refused(lambda: ask("x", metadata={"session_id": "../x"})),
}
found["stream_error"] = refused(lambda: list(ask("error=modelStreamErrorException after=2 tokens=9", stream=True)))
print(json.dumps(found))
