// Runs that took every course, read by the official clients of AG-UI and the AI SDK: whole, and cut after every event and
// resumed. Usage: transcripts.mjs ADDRESS RUNS, the runs as JSON: [[run, session, events], …].
import { HttpAgent } from "@ag-ui/client";
import { DefaultChatTransport, readUIMessageStream } from "ai";
import { same, sorted } from "./broken.mjs";

const warnings = [];
console.warn = (...words) => warnings.push(words.join(" "));
console.error = () => {};

const address = process.argv[2];
const place = (run, dialect, after) => `${address}/runs/${run}/events?dialect=${dialect}&events=all&after=${after}`;

/** What a client that knows nothing of the run has in the end, if it is told what comes after an event. */
async function agUi(run, threadId, after) {
  const agent = new HttpAgent({ url: place(run, "ag_ui", after), threadId });
  agent.fetch = (url, init) => fetch(url, { headers: init.headers, signal: init.signal });
  const events = [];
  const failed = await agent
    .runAgent({ runId: run }, { onEvent: ({ event }) => void events.push(event) })
    .then(() => undefined, (error) => error);
  const [first, last] = [events[0], events.at(-1)];
  if (failed && last?.type !== "RUN_ERROR") throw failed;
  same("start", [first?.type, first?.runId, first?.threadId], ["RUN_STARTED", run, threadId]);
  if (last.type !== "RUN_ERROR") same("end", [last.type, last.runId], ["RUN_FINISHED", run]);
  same("ends", events.filter((event) => ["RUN_FINISHED", "RUN_ERROR"].includes(event.type)).length, 1);
  if (warnings.length > 0) throw new Error(warnings.join("\n"));
  same("unique ids", new Set(agent.messages.map((message) => message.id)).size, agent.messages.length);
  return { messages: agent.messages, end: last.outcome?.type ?? last.code };
}

/** The answer alone: the question is told by snapshots only. */
const answer = ({ messages, end }) => sorted({ messages: messages.filter((message) => message.role !== "user"), end });

/** The message that a client of the AI SDK makes of a stream's bytes. */
async function aiSdk(body) {
  const headers = { "content-type": "text/event-stream" };
  const transport = new DefaultChatTransport({ api: "http://127.0.0.1/", fetch: async () => new Response(body, { headers }) });
  const errors = [];
  let message;
  let end;
  const stream = (await transport.reconnectToStream({ chatId: "c" })).pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        if (end) throw new Error(`after the end: ${JSON.stringify(chunk)}`);
        if (chunk.type === "finish") end = chunk.finishReason;
        controller.enqueue(chunk);
      },
    }),
  );
  for await (message of readUIMessageStream({ stream, onError: (error) => errors.push(error.message) }));
  if (!end) throw new Error("no finish");
  for (const part of message.parts) {
    if (part.state === "streaming" || part.state === "input-streaming") throw new Error(`not done: ${part.type}`);
  }
  return { message, end, errors };
}

const said = (parts, of) => parts.map(of).filter((text) => typeof text === "string").join("");
const found = {};
for (const [run, session, count] of JSON.parse(process.argv[3])) {
  const whole = await agUi(run, session, 0);
  // Even of a client that has the end already, and of one that says it has more than there is.
  for (let after = 1; after <= count + 1; after += 1) {
    const resumed = await agUi(run, session, after);
    same(`${run} in AG-UI after ${after}`, answer(resumed), answer(whole));
  }
  const read = async (after) => await (await fetch(place(run, "ai_sdk", after))).text();
  const stream = await read(0);
  const ui = await aiSdk(stream);
  for (let after = 1; after < count; after += 1) {
    const cut = stream.split(/(?<=\n\n)/).findLastIndex((frame) => Number(/^id: (\d+)$/m.exec(frame)?.[1]) <= after);
    const first = stream.split(/(?<=\n\n)/).slice(0, cut + 1).join("");
    same(`${run} in the AI SDK after ${after}`, await aiSdk(first + (await read(after))), ui);
  }
  found[run] = {
    agUi: [said(whole.messages, (m) => (m.role === "assistant" ? m.content : undefined)), whole.end],
    aiSdk: [said(ui.message.parts, (part) => (part.type === "text" ? part.text : undefined)), ui.end],
    tools: [
      whole.messages.filter((m) => m.role === "tool").length,
      ui.message.parts.filter((part) => part.type === "dynamic-tool" && part.state.startsWith("output-")).length,
    ],
    reasoning: [
      said(whole.messages, (m) => (m.role === "reasoning" ? m.content : undefined)),
      said(ui.message.parts, (part) => (part.type === "reasoning" ? part.text : undefined)),
    ],
  };
}
console.log(JSON.stringify(found));
