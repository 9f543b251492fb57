// AG-UI's official client against the real binary. Usage: ag-ui.mjs ADDRESS. The model's answers come from the test.
import { buildResumeArray, HttpAgent } from "@ag-ui/client";
import { EventType } from "@ag-ui/core";
import { AgentCapabilitiesSchema } from "@ag-ui/core/schemas";
import { frames, refused, same, serving, sorted } from "./broken.mjs";

// The client drops what it does not know with a warning; here that is a failure. So is what it prints of an error.
const warnings = [];
console.warn = (...words) => warnings.push(words.join(" "));
console.error = () => {};

/** Runs the agent and checks what the client lets pass: the end, the run's id, no unknown events. */
async function run(agent, parameters = {}) {
  const events = [];
  const seen = { onEvent: ({ event }) => void events.push(event) };
  const runId = parameters.runId ?? crypto.randomUUID();
  warnings.length = 0;
  await agent.runAgent({ ...parameters, runId }, seen);
  const [first, last] = [events[0], events.at(-1)];
  if (first?.type !== EventType.RUN_STARTED) throw new Error("no start");
  if (first.runId !== runId || first.threadId !== agent.threadId) throw new Error("another run");
  if (last.type !== EventType.RUN_FINISHED && last.type !== EventType.RUN_ERROR) throw new Error("no end");
  if (last.type === EventType.RUN_FINISHED && last.runId !== runId) throw new Error("the end of another run");
  if (warnings.length > 0) throw new Error(warnings.join("\n"));
  return { events, last, types: new Set(events.map((event) => event.type)) };
}

const say = (agent, text) => agent.addMessage({ id: crypto.randomUUID(), role: "user", content: text });
const roles = (agent) => agent.messages.map((message) => message.role);

const url = `${process.argv[2]}/ag-ui`;
const agent = new HttpAgent({ url, threadId: "thread-1" });

// Reasoning and text.
say(agent, "Hello?");
const plain = await run(agent);
same("roles", roles(agent), ["user", "reasoning", "assistant"]);
same("text", agent.messages[2].content, "Hello, wörld 🚀");
same("outcome", plain.last.outcome, { type: "success" });
same("usage", plain.last.usage, [
  { provider: "openai", model: "test", inputTokens: 7, outputTokens: 3, totalTokens: 10 },
]);

// A tool of the server and one of the client side by side; the user allows the server's.
say(agent, "Where am I, and what is 6 times 7?");
const tools = [{ name: "locate", description: "Where the user is.", parameters: { type: "object" } }];
const asked = await run(agent, { tools });
same("asked", asked.last.outcome.type, "interrupt");
if (!asked.types.has(EventType.MESSAGES_SNAPSHOT)) throw new Error("no snapshot before the interruption");
const interrupts = agent.pendingInterrupts;
same("interrupts", interrupts.map((interrupt) => interrupt.toolCallId), ["call-sum"]);
const resume = buildResumeArray(interrupts, { "call-sum": { status: "resolved", payload: { approved: true } } });
const allowed = await run(agent, { tools, resume });
same("pending", allowed.last.outcome, { type: "success", pendingToolCallIds: ["call-place"] });
same("the sum", agent.messages.find((message) => message.toolCallId === "call-sum").content, "42");
agent.addMessage({ id: "placed", role: "tool", toolCallId: "call-place", content: "Rome" });
const answered = await run(agent, { tools });
if (answered.types.has(EventType.TOOL_CALL_RESULT)) throw new Error("the client's own answer was told again");
same("answer", agent.messages.at(-1).content, "In Rome it is 42.");
same("tool messages", roles(agent).filter((role) => role === "tool").length, 2);

// Cut after the first piece; the same run again brings the messages as they are and goes on.
say(agent, "Count.");
const runId = crypto.randomUUID();
const cut = new HttpAgent({ url, threadId: agent.threadId, initialMessages: agent.messages });
cut.subscribe({ onTextMessageContentEvent: () => cut.abortRun() });
// The client keeps its own abort to itself; whatever else it throws is a failure.
await cut.runAgent({ runId });
if (roles(cut).at(-1) !== "assistant") throw new Error("nothing had arrived before the cut");
cut.subscribers = [];
const again = await run(cut, { runId });
if (!again.types.has(EventType.MESSAGES_SNAPSHOT)) throw new Error("no snapshot for a client that came back");
same("counted", cut.messages.at(-1).content, "one two three");
same("unique", new Set(cut.messages.map((message) => message.id)).size, cut.messages.length);
const complete = structuredClone(cut.messages);
agent.setMessages(complete);

// The same from the page's route, in this dialect, from the middle: the last messages are the same.
const events = (after) => `${process.argv[2]}/runs/${runId}/events?dialect=ag_ui&after=${after}`;
for (const after of [1, 2, 3]) {
  const reader = new HttpAgent({ url: events(after), threadId: agent.threadId, initialMessages: [] });
  reader.fetch = (address, init) => fetch(address, { headers: init.headers, signal: init.signal });
  await run(reader, { runId });
  same(`after ${after}`, reader.messages.map((m) => [m.id, m.content]), complete.map((m) => [m.id, m.content]));
}

// The model breaks off and says it anew: nothing of the first try is left.
say(agent, "Try.");
const tried = await run(agent);
if (!tried.types.has(EventType.MESSAGES_SNAPSHOT)) throw new Error("nothing was taken back");
same("tried", agent.messages.slice(-2).map((m) => [m.role, m.content]), [["reasoning", "Right."], ["assistant", "Whole."]]);

// A past that was rewritten is refused, and says so.
const forger = new HttpAgent({ url, threadId: agent.threadId });
forger.messages = [{ ...complete[0], content: "Something else." }, { id: "new", role: "user", content: "And now?" }];
const error = await run(forger).catch((thrown) => thrown);
if (!String(error.message).includes("history_conflict")) throw new Error(`not refused: ${error.message}`);

// What the document says of the agent.
const capabilities = await (await fetch(url)).json();
same("capabilities", [capabilities.transport.resumable, capabilities.tools.clientProvided], [true, true]);
// By the published schema, of which a parser drops what it does not know.
same("known capabilities", sorted(AgentCapabilitiesSchema.parse(capabilities)), sorted(capabilities));

const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };
const finished = { type: "RUN_FINISHED", threadId: "t", runId: "r" };
const broken = {
  "text that was not begun": frames(started, { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "x" }, finished),
  "text that is not ended": frames(started, { type: "TEXT_MESSAGE_START", messageId: "m" }, finished),
  "no end": frames(started),
  "no start": frames(finished),
  "another run": frames({ ...started, runId: "other" }, finished),
  "the end of another run": frames(started, { ...finished, runId: "other" }),
  "an unknown event": frames(started, { type: "THINKING_START" }, { type: "NONSENSE" }, finished),
  "an unknown field": frames({ ...started, nonsense: 1 }, finished),
  "null for an optional field": frames({ ...started, parentRunId: null }, finished),
};
for (const [name, body] of Object.entries(broken)) {
  await refused(name, () => serving(body, (address) => run(new HttpAgent({ url: address, threadId: "t" }), { runId: "r" })));
}
await serving(frames(started, finished), (address) => run(new HttpAgent({ url: address, threadId: "t" }), { runId: "r" }));
console.log(JSON.stringify({ messages: complete.length }));
