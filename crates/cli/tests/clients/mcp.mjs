// The SDK's client of the Model Context Protocol against `/mcp`: argv is the server's address and an API key.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [address, key] = process.argv.slice(2);
const connect = async (token) => {
  const headers = { Authorization: `Bearer ${token}` };
  const transport = new StreamableHTTPClientTransport(new URL(`${address}/mcp`), { requestInit: { headers } });
  const client = new Client({ name: "tests", version: "1" });
  await client.connect(transport);
  return [client, transport];
};
const found = {};
const [client, transport] = await connect(key);
found.server = [client.getServerVersion().name, transport.sessionId ?? null, transport.protocolVersion];
const { tools } = await client.listTools();
found.tools = tools.map((tool) => [tool.name, Object.keys(tool.inputSchema.properties), Boolean(tool.outputSchema)]);

const steps = [];
const call = (args, onprogress) => client.callTool({ name: "ask", arguments: args }, undefined, { onprogress });
const answer = await call({ message: 'tool=calculator {"expression": "6*7"} say="It is 42."' }, (p) => steps.push(p));
found.answer = [answer.isError, answer.content.map((part) => part.text), answer.structuredContent.outcome];
found.progress = [
  steps.map((step) => step.message),
  steps.every((step, n) => n === 0 || step.progress > steps[n - 1].progress),
];
const again = await call({ message: 'say="again"', session_id: answer.structuredContent.session_id });
found.session = [again.content[0].text, again.structuredContent.session_id === answer.structuredContent.session_id];
const failed = await call({ message: "error=400" });
found.failed = [failed.isError, failed.structuredContent.error.code];
const refused = async (call) => {
  try {
    await call();
    return "answered";
  } catch (error) {
    return [error.constructor.name, error.code];
  }
};
found.errors = {
  tool: await refused(() => client.callTool({ name: "other", arguments: {} })),
  arguments: await refused(() => call({ text: "x" })),
  method: await refused(() => client.listPrompts()),
  key: await refused(() => connect("loquat_no")),
};
await client.close();
console.log(JSON.stringify(found));
