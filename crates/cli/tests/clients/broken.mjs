// A server of streams that are wrong on purpose: a check that lets one pass is none.
import { createServer } from "node:http";

/** Serves `body` as an event stream to whoever asks, while `use` runs. */
export async function serving(body, use) {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream", "x-vercel-ai-ui-message-stream": "v1" });
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.close();
  }
}

/** SSE frames of JSON values and words. */
export const frames = (...values) =>
  values.map((value) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`).join("");

/** Fails unless `run` fails. */
export async function refused(name, run) {
  try {
    await run();
  } catch {
    return;
  }
  throw new Error(`the check let a broken stream pass: ${name}`);
}

/** With the members of objects in the order of their names, which means nothing. */
export const sorted = (value) =>
  JSON.parse(JSON.stringify(value), (_, part) => (part?.constructor === Object ? Object.fromEntries(Object.entries(part).sort()) : part));

export function same(what, found, expected) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: ${a}, expected ${b}`);
}
