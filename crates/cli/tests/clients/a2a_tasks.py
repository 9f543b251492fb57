"""The a2a-sdk package against the agent card and `/a2a`: argv is the server's address and an API key."""

import asyncio
import json
import sys

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as a2a
from a2a.utils.errors import A2AError
from google.protobuf.json_format import MessageToDict

address, key, other_key = sys.argv[1], sys.argv[2], sys.argv[3]


def message(text, **more):
    part = a2a.Part(text=text)
    return a2a.SendMessageRequest(
        message=a2a.Message(message_id=f"m-{abs(hash((text, str(more))))}", role=a2a.ROLE_USER, parts=[part], **more)
    )


async def connect(token, streaming):
    http = httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30)
    card = await A2ACardResolver(http, address).get_agent_card()
    config = ClientConfig(streaming=streaming, httpx_client=http, supported_protocol_bindings=["HTTP+JSON"])
    return card, ClientFactory(config).create(card)


async def refused(call):
    try:
        await call
    except A2AError as error:
        name = type(error).__name__
        # Its words, where it is the one that says nothing by its name alone.
        return name if name != "A2AClientError" or "401" in str(error) else f"{name}: {error} ({error.__cause__!r})"
    return "answered"


async def collect(stream):
    return [event async for event in stream]


async def main():
    found = {}
    card, client = await connect(key, streaming=True)
    interface = card.supported_interfaces[0]
    found["card"] = [interface.protocol_binding, interface.protocol_version, card.capabilities.streaming, len(card.skills)]
    events = await collect(client.send_message(message('tool=calculator {"expression": "6*7"} say="It is 42."')))
    kinds = [event.WhichOneof("payload") for event in events]
    found["kinds"] = kinds
    text = "".join(p.text for e in events if e.WhichOneof("payload") == "artifact_update" for p in e.artifact_update.artifact.parts)
    found["text"] = text
    task_id, context = events[0].task.id, events[0].task.context_id
    found["end"] = a2a.TaskState.Name(events[-1].status_update.status.state)
    found["tool"] = [t["name"] for t in MessageToDict(events[-1].status_update.metadata)["loquat"]["tools"]]
    task = await client.get_task(a2a.GetTaskRequest(id=task_id))
    found["task"] = [task.id == task_id, a2a.TaskState.Name(task.status.state), task.artifacts[0].parts[0].text == text]

    _, plain = await connect(key, streaming=False)
    whole = (await collect(plain.send_message(message('say="Grüße 👋🏽 you"', context_id=context))))[0]
    found["whole"] = [whole.task.artifacts[0].parts[0].text, whole.task.context_id == context]
    failed = (await collect(plain.send_message(message("error=400"))))[0].task
    found["failed"] = [a2a.TaskState.Name(failed.status.state), bool(failed.status.message.parts[0].text)]

    # A task under way: subscribed to by a second reader, then cancelled.
    at_once = message("tokens=400 delay=50ms")
    at_once.configuration.return_immediately = True
    running = (await collect(plain.send_message(at_once)))[0].task
    found["running"] = a2a.TaskState.Name(running.status.state)
    following = client.subscribe(a2a.SubscribeToTaskRequest(id=running.id))
    seen = [await anext(following), await anext(following)]
    found["subscribed"] = [event.WhichOneof("payload") for event in seen]
    cancelled = await client.cancel_task(a2a.CancelTaskRequest(id=running.id))
    found["cancelled"] = a2a.TaskState.Name(cancelled.status.state)
    rest = await collect(following)
    found["subscriber_end"] = a2a.TaskState.Name(rest[-1].status_update.status.state)
    said = "".join(
        p.text
        for e in seen + rest
        for p in (e.artifact_update.artifact.parts if e.WhichOneof("payload") == "artifact_update" else
                  [p for a in e.task.artifacts for p in a.parts])
    )
    found["same_text"] = said == "".join(p.text for a in cancelled.artifacts for p in a.parts)

    _, other = await connect(other_key, streaming=False)
    _, nobody = await connect("loquat_no", streaming=False)
    found["errors"] = {
        "unknown": await refused(client.get_task(a2a.GetTaskRequest(id="unknown"))),
        "foreign": await refused(other.get_task(a2a.GetTaskRequest(id=task_id))),
        "cancel": await refused(client.cancel_task(a2a.CancelTaskRequest(id=task_id))),
        "subscribe": await refused(collect(client.subscribe(a2a.SubscribeToTaskRequest(id=task_id)))),
        "ended": await refused(collect(plain.send_message(message("x", task_id=task_id)))),
        "list": await refused(client.list_tasks(a2a.ListTasksRequest())),
        "empty": await refused(collect(plain.send_message(message(" ")))),
        "key": (await refused(nobody.get_task(a2a.GetTaskRequest(id=task_id)))),
    }
    print(json.dumps(found))


asyncio.run(main())
