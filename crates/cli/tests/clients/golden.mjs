// The golden transcripts, read by official clients and schemas. Usage: golden.mjs FOLDER. Prints the text of every case by
// dialect, or the code of its failure.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { HttpAgent } from "@ag-ui/client";
import { EventSchemas } from "@ag-ui/core/schemas";
import { DefaultChatTransport, readUIMessageStream } from "ai";
import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";
import { ResponseStream } from "openai/lib/responses/ResponseStream";
import { frames, refused, same, sorted } from "./broken.mjs";

const folder = process.argv[2];
const warnings = [];
console.warn = (...words) => warnings.push(words.join(" "));
console.error = () => {};
const answer = (body) => async () => new Response(body, { headers: { "content-type": "text/event-stream" } });
const data = (stream) => stream.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));

const read = {
  async ag_ui(stream) {
    const events = data(stream).map((text) => JSON.parse(text));
    // The schema drops what it does not know; an optional field that is null is none.
    for (const event of events) same("as published", sorted(EventSchemas.parse(event)), sorted(event));
    const agent = new HttpAgent({ url: "http://127.0.0.1/", threadId: "session-1" });
    agent.fetch = answer(stream);
    const last = events.at(-1);
    const failed = await agent.runAgent({ runId: "run-1" }).then(() => undefined, (error) => error);
    if (failed && last.type !== "RUN_ERROR") throw failed;
    if (!["RUN_FINISHED", "RUN_ERROR"].includes(last.type)) throw new Error("no end");
    if (warnings.length > 0) throw new Error(warnings.join("\n"));
    const said = agent.messages.filter((message) => message.role === "assistant");
    return [said.map((message) => message.content ?? "").join(""), last.code ?? null];
  },
  async ai_sdk(stream) {
    const transport = new DefaultChatTransport({ api: "http://127.0.0.1/", fetch: answer(stream) });
    let message;
    for await (message of readUIMessageStream({ stream: await transport.reconnectToStream({ chatId: "c" }), onError: () => {} }));
    for (const part of message.parts) {
      if (part.state === "streaming" || part.state === "input-streaming") throw new Error(`not done: ${part.type}`);
    }
    const said = message.parts.filter((part) => part.type === "text");
    return [said.map((part) => part.text).join(""), message.metadata.error?.code ?? null];
  },
  async openai(stream) {
    const chunks = data(stream);
    const error = chunks.map((text) => (text === "[DONE]" ? {} : JSON.parse(text)).error).find(Boolean);
    // Its parser of event streams throws it.
    if (error) return [null, error.code];
    same("end", chunks.pop(), "[DONE]");
    const whole = ChatCompletionStream.fromReadableStream(new Response(chunks.map((text) => `${text}\n`).join("")).body);
    return [(await whole.finalChatCompletion()).choices[0].message.content ?? "", null];
  },
  async openai_responses(stream) {
    const whole = ResponseStream.fromReadableStream(new Response(data(stream).map((text) => `${text}\n`).join("")).body);
    const response = await whole.finalResponse();
    return [response.output_text, response.error?.type ?? null];
  },
};
read.ai_sdk_older = read.ai_sdk;

const found = {};
for (const [dialect, by] of Object.entries(read)) {
  for (const file of readdirSync(join(folder, dialect)).filter((name) => name.endsWith(".sse"))) {
    const name = file.replace(".sse", "");
    found[name] ??= {};
    try {
      found[name][dialect] = await by(readFileSync(join(folder, dialect, file), "utf8"));
    } catch (error) {
      throw new Error(`${dialect}/${file}: ${error.stack}`);
    }
  }
}
const start = { type: "RUN_STARTED", threadId: "session-1", runId: "run-1" };
await refused("a field that is not published", () => read.ag_ui(frames({ ...start, nonsense: 1 }, { ...start, type: "RUN_FINISHED" })));
await refused("null", () => read.ag_ui(frames({ ...start, parentRunId: null }, { ...start, type: "RUN_FINISHED" })));
console.log(JSON.stringify(found));
