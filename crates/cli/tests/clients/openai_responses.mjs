// The openai package for Node against `/v1/responses`: argv is the server's address, an API key and the model. Its
// accumulator refuses unknown events, gaps between items and items that change their identity.
import OpenAI from "openai";

const [address, key, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: key, maxRetries: 0, timeout: 30_000 });
const found = {};
const final = async (input, more = {}) => {
  const stream = client.responses.stream({ model, input, ...more });
  const kinds = [];
  stream.on("event", (event) => kinds.push(event.type));
  return [await stream.finalResponse(), kinds];
};

const [plain] = await final('say="Grüße 👋🏽 you" chunk=1');
found.plain = [plain.status, plain.output_text];
const [tools, kinds] = await final(
  'reasoning=2 parallel tool=calculator {"expression": "1+1"} tool=calculator {"expression": "2+2"} say="Done."',
);
found.tools = [tools.output.map((item) => item.type), tools.output_text];
found.terminals = kinds.filter((kind) => /completed$|failed$|incomplete$/.test(kind) && !kind.includes("mcp"));
const add = {
  type: "function",
  name: "add",
  strict: false,
  parameters: { type: "object", properties: { a: { type: "number" } } },
};
const [asked] = await final('tool=add {"a": 1} say="It is 1."', { tools: [add] });
const call = asked.output.find((item) => item.type === "function_call");
const output = [{ type: "function_call_output", call_id: call.call_id, output: "1" }];
const [answered] = await final(output, { tools: [add], previous_response_id: asked.id });
found.call = [call.arguments, answered.output_text];
const cut = await final('say="cut" reason=max_tokens').catch((error) => String(error));
found.cut = Array.isArray(cut) ? cut[0].status : cut;

// A broken stream must not pass: the same accumulator on the same frames with one left out.
const response = await fetch(`${address}/v1/responses/${plain.id}?stream=true`, {
  headers: { authorization: `Bearer ${key}` },
});
const frames = (await response.text()).split("\n\n").filter(Boolean);
const { ResponseStream } = await import("openai/lib/responses/ResponseStream");
const read = async (list) => {
  const lines = list.map((frame) => `${frame.split("data: ")[1]}\n`).join("");
  const stream = ResponseStream.fromReadableStream(new Response(lines).body);
  try {
    return (await stream.finalResponse()).output_text;
  } catch (error) {
    return "refused";
  }
};
const without = (kind) => frames.filter((frame) => !frame.startsWith(`event: ${kind}\n`));
found.broken = [
  await read(frames),
  await read(without("response.output_item.added")),
  await read(without("response.created")),
  await read(without("response.completed")),
];
console.log(JSON.stringify(found));
