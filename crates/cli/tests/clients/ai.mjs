// The AI SDK's official client against the real binary. Usage: ai.mjs ADDRESS FILE. The model's answers come from the test,
// which waits for the file where the client has to be somewhere first.
import { writeFileSync } from "node:fs";
import { DefaultChatTransport, readUIMessageStream } from "ai";
import { frames, refused, same, serving } from "./broken.mjs";

/** Reads a stream to its end and checks it: no error, every part done, and the end seen. */
async function read(stream, message) {
  const chunks = [];
  const seen = stream.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        chunks.push(chunk);
        controller.enqueue(chunk);
      },
    }),
  );
  let last;
  const fail = (error) => {
    throw error;
  };
  for await (const state of readUIMessageStream({ message, stream: seen, onError: fail, terminateOnError: true })) last = state;
  if (chunks[0]?.type !== "start") throw new Error("no start");
  if (chunks.at(-1)?.type !== "finish") throw new Error("no finish");
  for (const part of last?.parts ?? []) {
    if (part.state === "streaming" || part.state === "input-streaming") throw new Error(`not done: ${part.type}`);
  }
  return { message: last, chunks, finish: chunks.at(-1) };
}

const transport = (api, more = {}) => new DefaultChatTransport({ api, ...more });
const user = (text, id = crypto.randomUUID()) => ({ id, role: "user", parts: [{ type: "text", text }] });
const text = (message) =>
  message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");

const api = `${process.argv[2]}/api/chat`;
const wire = transport(api);
const send = (messages, more = {}) =>
  wire.sendMessages({ chatId: "chat-1", messages, trigger: "submit-message", ...more });

// Reasoning and text.
const messages = [user("Hello?")];
const plain = await read(await send(messages));
same("parts", plain.message.parts.map((part) => part.type), ["step-start", "reasoning", "text"]);
same("text", text(plain.message), "Hello, wörld 🚀");
same("reason", plain.finish.finishReason, "stop");
same("usage", plain.message.metadata.usage, { inputTokens: 7, outputTokens: 3, totalTokens: 10 });
messages.push(plain.message);

// A tool of the server that the user allows, beside one of the client.
messages.push(user("Where am I, and what is 6 times 7?"));
const body = { tools: { locate: { description: "Where the user is.", parameters: { type: "object" } } } };
const asked = await read(await send(messages, { body }));
same("reason", asked.finish.finishReason, "tool-calls");
const part = (of, id) => of.parts.find((one) => one.toolCallId === id);
same("asked", part(asked.message, "call-sum").state, "approval-requested");
same("the client's", [part(asked.message, "call-place").type, part(asked.message, "call-place").state], ["tool-locate", "input-available"]);
const answers = structuredClone(asked.message);
Object.assign(part(answers, "call-sum"), { state: "approval-responded", approval: { id: "call-sum", approved: true } });
Object.assign(part(answers, "call-place"), { state: "output-available", output: "Rome" });
const goes = await read(await send([...messages, answers], { body }), answers);
same("the same message", goes.message.id, asked.message.id);
same("the sum", [part(goes.message, "call-sum").state, part(goes.message, "call-sum").output], ["output-available", "42"]);
same("answer", text(goes.message), "In Rome it is 42.");
messages.push(goes.message);

// Nothing runs: there is nothing to come back to.
same("idle", await wire.reconnectToStream({ chatId: "chat-1" }), null);
same("unknown", await wire.reconnectToStream({ chatId: "never-seen" }), null);

// Left after the first piece; who comes back gets the whole answer.
messages.push(user("Count."));
const leaving = new AbortController();
const left = (await send(messages, { abortSignal: leaving.signal })).getReader();
for (;;) {
  const { value } = await left.read();
  if (value.type === "text-delta") break;
}
leaving.abort();
await left.cancel().catch((error) => {
  if (error.name !== "AbortError") throw error;
});
const stream = await wire.reconnectToStream({ chatId: "chat-1" });
writeFileSync(process.argv[3], "");
const back = await read(stream);
same("counted", text(back.message), "one two three");

// The last answer once more: it takes the place of the one before.
const again = await read(await send(messages, { trigger: "regenerate-message" }));
same("again", text(again.message), "four five six");

// A file, and an error in words.
const png = "data:image/png;base64,iVBORw0KGgo=";
const file = { ...user("What is this?"), parts: [{ type: "file", mediaType: "image/png", url: png }, { type: "text", text: "This?" }] };
same("file", text((await read(await send([file]))).message), "a picture");
const error = await send([user("  ")]).catch((thrown) => thrown);
same("error", error.message, "messages: there is no new message of the user");

// A reader of a broken stream fails twice: where it is read, and in a promise that nobody holds.
process.on("unhandledRejection", () => {});
const [start, finish] = [{ type: "start" }, { type: "finish" }];
const broken = {
  "text that was not begun": frames(start, { type: "text-delta", id: "1", delta: "x" }, finish, "[DONE]"),
  "text that is not ended": frames(start, { type: "text-start", id: "1" }, { type: "text-delta", id: "1", delta: "x" }, finish, "[DONE]"),
  "no finish": frames(start, "[DONE]"),
  "no start": frames(finish, "[DONE]"),
  "an unknown chunk": frames(start, { type: "nonsense" }, finish, "[DONE]"),
  "a result without its call": frames(start, { type: "tool-output-available", toolCallId: "1", output: 1 }, finish, "[DONE]"),
  "an error": frames(start, { type: "error", errorText: "x" }, finish, "[DONE]"),
};
const through = (address) => transport(address).sendMessages({ chatId: "c", messages: [user("x")], trigger: "submit-message" });
for (const [name, wrong] of Object.entries(broken)) {
  await refused(name, () => serving(wrong, async (address) => read(await through(address))));
}
await serving(frames(start, finish, "[DONE]"), async (address) => read(await through(address)));
console.log(JSON.stringify({ messages: messages.length }));
