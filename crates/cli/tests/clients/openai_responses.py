"""The openai package for Python against `/v1/responses`: argv is the server's address, an API key and the model."""

import json
import sys

import openai

address, key, model = sys.argv[1:4]
other_key = sys.argv[4]
client = openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=30)
ADD = {
    "type": "function",
    "name": "add",
    "description": "Adds",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
    "strict": False,
}


def ask(said, **more):
    return client.responses.create(model=model, input=said, **more)


def refused(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.param, error.code]
    except openai.APIError as error:
        return [type(error).__name__, None, error.param, error.code]
    return "answered"


found = {}
first = ask('say="Grüße 👋🏽 you"', instructions="Be brief.", metadata={"a": "b"})
found["whole"] = [first.object, first.status, first.model, first.output_text, first.instructions, first.metadata]
found["usage"] = first.usage.total_tokens == first.usage.input_tokens + first.usage.output_tokens > 0
found["item"] = [first.output[0].type, first.output[0].status, first.output[0].content[0].type]
found["again"] = client.responses.retrieve(first.id).to_dict() == first.to_dict()

second = ask('say="two"', previous_response_id=first.id)
third = ask('say="three"', previous_response_id=second.id)
found["chain"] = [second.previous_response_id == first.id, third.output_text, second.loquat == {**third.loquat, "run_id": second.loquat["run_id"]}]
fork = ask('say="other"', previous_response_id=first.id)
found["fork"] = [fork.output_text, refused(lambda: ask("x", previous_response_id=third.id))]

events = list(ask('reasoning=2 tool=calculator {"expression": "6*7"} say="It is 42."', stream=True))
found["events"] = [e.type for e in events]
numbers = [e.sequence_number for e in events]
found["numbers_grow"] = all(a < b for a, b in zip(numbers, numbers[1:]))
done = events[-1].response
found["done"] = [done.status, [item.type for item in done.output], done.output_text]
mcp = [item for item in done.output if item.type == "mcp_call"][0]
found["mcp_call"] = [mcp.name, json.loads(mcp.arguments), mcp.output, mcp.status, mcp.server_label]


def final(stream):
    return stream[-1].response.to_dict()


# Cut after every event and resumed, the events and the final response are the same.
whole = [e.to_dict() for e in events]
same = []
for cut in range(len(whole)):
    rest = client.responses.retrieve(done.id, stream=True, starting_after=numbers[cut])
    same.append(whole[: cut + 1] + [e.to_dict() for e in rest] == whole)
found["resumed"] = [len(same), all(same)]
found["replayed"] = [e.to_dict() for e in client.responses.retrieve(done.id, stream=True)] == whole

# The package's own accumulator.
with client.responses.stream(model=model, input='say="Grüße 👋🏽 you" chunk=1') as stream:
    for _ in stream:
        pass
    found["accumulated"] = stream.get_final_response().output_text

asked = ask('tool=add {"a": 1, "b": 2} say="It is 3."', tools=[ADD])
call = [item for item in asked.output if item.type == "function_call"][0]
found["call"] = [asked.status, call.name, json.loads(call.arguments), asked.tools[0].name]
answer = {"type": "function_call_output", "call_id": call.call_id, "output": "3"}
kept = client.responses.create(model=model, previous_response_id=asked.id, input=[answer], tools=[ADD])
found["answered"] = [kept.status, kept.output_text]

# The client keeps the history itself.
history = [{"role": "user", "content": 'tool=add {"a": 1, "b": 2} say="It is 3."'}]
asked = client.responses.create(model=model, input=history, tools=[ADD], store=False)
history += [item.to_dict() for item in asked.output]
call = [item for item in asked.output if item.type == "function_call"][0]
history.append({"type": "function_call_output", "call_id": call.call_id, "output": "3"})
found["stateless"] = client.responses.create(model=model, input=history, tools=[ADD], store=False).output_text
told = [{"role": "user", "content": 'tool=calculator {"expression": "6*7"} say="It is 42."'}]
told += [item.to_dict() for item in client.responses.create(model=model, input=told).output]
seeded = client.responses.create(model=model, input=told + [{"role": "user", "content": 'say="and on"'}])
found["seeded"] = [seeded.output_text, ask('say="chained"', previous_response_id=seeded.id).output_text]

conversed = ask('say="one"', conversation="talk-py")
found["conversation"] = [conversed.conversation.id, ask('say="two"', conversation="talk-py").output_text]

SHAPE = {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]}
form = {"type": "json_schema", "name": "sum", "schema": SHAPE, "strict": True}
shaped = ask('say="shaped"', text={"format": form}, tools=[ADD], tool_choice={"type": "function", "name": "add"})
found["shaped"] = [shaped.text.format.name, shaped.tool_choice.name]

late = ask('say="late"', background=True)
found["background"] = [late.status in ("in_progress", "completed"), list(client.responses.retrieve(late.id, stream=True))[-1].response.output_text]
found["cancel"] = client.responses.cancel(late.id).status
found["limit"] = [ask('say="cut" reason=max_tokens').status, ask('say="cut" reason=max_tokens').incomplete_details.reason]

other = openai.OpenAI(base_url=f"{address}/v1", api_key=other_key, max_retries=0)
found["errors"] = {
    "unknown": refused(lambda: client.responses.retrieve("resp_unknown")),
    "foreign": refused(lambda: other.responses.retrieve(first.id)),
    "foreign_previous": refused(lambda: other.responses.create(model=model, input="x", previous_response_id=first.id)),
    "input": refused(lambda: ask([])),
    "item": refused(lambda: ask([{"type": "item_reference", "id": "x"}])),
    "format": refused(lambda: ask("x", text={"format": {"type": "xml"}})),
    "choice": refused(lambda: ask("x", tool_choice={"type": "file_search"})),
    "tool": refused(lambda: ask("x", tools=[{"type": "web_search"}])),
    "model": refused(lambda: client.responses.create(model="gpt-none", input="x")),
    "throttled": refused(lambda: ask("error=throttlingException")),
}
failed = list(ask("error=modelStreamErrorException after=2 tokens=9", stream=True))
found["failed"] = [failed[-1].type, failed[-1].response.status, failed[-1].response.error.code]
print(json.dumps(found))
