// The client over every transcript of the server's own tests, whole and cut after every byte that ends a frame.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { Conversation, Loquat, Problem } from "../src/index.js";

const wire = new URL("../../../fixtures/wire/chat/", import.meta.url);
const streams = readdirSync(wire).map((name) => [name, readFileSync(new URL(name, wire), "utf8")]);
const sse = (body, cut = false) => {
  const bytes = new TextEncoder().encode(body);
  const stream = new ReadableStream({
    start(controller) {
      // In pieces that split characters.
      for (let at = 0; at < bytes.length; at += 7) controller.enqueue(bytes.slice(at, at + 7));
    },
    pull(controller) {
      if (cut) controller.error(new TypeError("terminated"));
      else controller.close();
    },
  });
  return new Response(stream, { headers: { "content-type": "text/event-stream" } });
};
const agent = (answers, seen = []) =>
  new Loquat({
    url: "http://agent/",
    token: () => "secret",
    delay: () => 0,
    fetch: async (url, init) => {
      seen.push({ url, ...init });
      const answer = answers.shift();
      if (!answer) throw new TypeError("fetch failed");
      return answer;
    },
  });

test("there are transcripts", () => assert.ok(streams.length >= 12));

for (const [name, body] of streams) {
  test(`${name}: cut anywhere, the answer is the same`, async () => {
    const whole = await agent([sse(body)]).send("hi").done;
    assert.ok(whole.outcome, "it ended");
    const frames = body.split(/(?<=\n\n)/);
    for (let at = 1; at < frames.length; at += 1) {
      const [first, rest] = [frames.slice(0, at).join(""), frames.slice(at).join("")];
      // Half a frame more than was whole; then the same place once more from the run's log.
      const torn = first + frames[at].slice(0, 5);
      const seen = [];
      const found = await agent([sse(torn, true), sse(rest)], seen).send("hi", { runId: "r" }).done;
      assert.deepEqual(found, whole, `after frame ${at}`);
      const cursor = [...first.matchAll(/^id: (\d+)$/gm)].at(-1)[1];
      assert.equal(seen[1].url, `http://agent/runs/r/events?after=${cursor}&events=all`);
    }
  });
}

test("until the first frame the same request is repeated, with the same run id", async () => {
  const body = streams.find(([name]) => name === "plain.sse")[1];
  const seen = [];
  const run = agent([undefined, new Response("{}", { status: 502 }), sse(body)], seen).send("hi", { sessionId: "s" });
  assert.equal((await run.done).text, 'Hello, "world"\n');
  assert.equal(seen.length, 3);
  assert.equal(new Set(seen.map((request) => request.body)).size, 1);
  assert.equal(seen[0].headers.get("authorization"), "Bearer secret");
  assert.equal(JSON.parse(seen[0].body).session_id, "s");
});

test("a refusal is a problem in the server's words, and is not repeated", async () => {
  const refusal = { code: "session_busy", detail: "An answer is still being written.", run_id: "r1" };
  const seen = [];
  const run = agent([Response.json(refusal, { status: 409 })], seen).send("hi");
  await assert.rejects(run.done, (error) => {
    assert.ok(error instanceof Problem);
    assert.deepEqual([error.status, error.code, error.message, error.runId], [409, "session_busy", refusal.detail, "r1"]);
    return true;
  });
  assert.equal(seen.length, 1);
});

test("events come one by one, and leaving stops the reading", async () => {
  const body = streams.find(([name]) => name === "two-tools.sse")[1];
  const run = agent([sse(body)]).send("hi");
  const types = [];
  for await (const event of run) {
    types.push(event.type);
    if (event.type === "tool_call") break;
  }
  assert.deepEqual(types.slice(0, 3), ["metadata", "text", "tool_start"]);
  assert.equal((await run.done).outcome, undefined);
});

test("a conversation shows its turns, and goes on after a decision", async () => {
  const asked = streams.find(([name]) => name === "approval.sse")[1];
  const frame = (event, data) => `${event && `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`;
  const paid =
    frame("metadata", { session_id: "session-1", run_id: "run-2", continues: "run-1" }) +
    frame("tool_result", { id: "c1", name: "pay", output: "paid", is_error: false, duration_ms: 1 }) +
    frame("", { text: " Paid." }) +
    frame("done", { outcome: "complete", usage: {} });
  const seen = [];
  const talk = new Conversation(agent([sse(asked), sse(paid)], seen));
  let told = 0;
  talk.subscribe(() => (told += 1));
  const first = await talk.send("Pay.");
  assert.deepEqual([first.outcome, first.approvals[0].reason], ["interrupted", "It costs money."]);
  const second = await talk.decide([{ id: "c1", approved: true }]);
  assert.equal(seen[1].url, "http://agent/runs/run-1/approvals");
  const state = talk.snapshot();
  assert.deepEqual([state.turns.length, state.running, told > 4], [1, false, true]);
  assert.equal(state.turns[0].answer, second);
  assert.deepEqual([second.text, second.tools[0].output, second.outcome], ["May I? Paid.", "paid", "complete"]);
});
