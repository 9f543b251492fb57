// A Loquat agent: its runs and its conversations.
import { decode, empty, fold } from "./events.js";
import { readFrames } from "./sse.js";

/** The server sends a comment after 10 s of silence; three missed ones and a little more mean that the line is dead. */
const SILENCE_MS = 35_000;

/** A refusal of the server, in its own words. `status` is 0 where no answer came at all. */
export class Problem extends Error {
  constructor(status, code, message, more = {}) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.retryAfter = more.retryAfter;
    this.runId = more.runId;
  }
}

const problemOf = async (response) => {
  const body = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  const retryAfter = Number.isFinite(seconds) ? seconds : undefined;
  const detail = body.detail ?? body.message ?? `HTTP ${response.status}`;
  return new Problem(response.status, body.code ?? `http_${response.status}`, detail, { retryAfter, runId: body.run_id });
};

/** Failures of the way there, not of the request. Once a run is under way, being busy is one of them too. */
const isTransient = ({ status, code }, underWay) =>
  [0, 408, 425, 502, 504].includes(status) || code === "draining" || (underWay && (status === 429 || status >= 500));

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

export class Loquat {
  #base;
  #token;
  #fetch;
  #delay;

  constructor({ url = "", token, fetch = (...args) => globalThis.fetch(...args), delay } = {}) {
    this.#base = url.replace(/\/+$/, "");
    this.#token = token;
    this.#fetch = fetch;
    this.#delay = delay ?? ((attempt) => Math.min(15_000, 400 * 2 ** attempt) * (0.5 + Math.random() / 2));
  }

  /** Sends a message. The answer is read with `for await`, or as a whole with `await answer.done`. */
  send(message, { sessionId, runId = crypto.randomUUID(), historyLength, onBusy, attachments, signal } = {}) {
    const body = { message, run_id: runId, events: "all" };
    if (sessionId !== undefined) body.session_id = sessionId;
    if (historyLength !== undefined) body.history_length = historyLength;
    if (onBusy !== undefined) body.on_busy = onBusy;
    if (attachments !== undefined) body.attachments = attachments;
    return new Run(this, { runId, submit: { path: "/chat", body }, signal });
  }

  /** Decides on the calls that an interrupted run left open; the answer goes on. */
  decide(runId, approvals, { signal } = {}) {
    const next = crypto.randomUUID();
    const path = `/runs/${encodeURIComponent(runId)}/approvals`;
    return new Run(this, { runId: next, submit: { path, body: { approvals, events: "all", run_id: next } }, signal });
  }

  /** Reads a run again, from its start or after a cursor, and goes on with it while it is live. */
  follow(runId, { after = 0, signal } = {}) {
    return new Run(this, { runId, after, signal });
  }

  stop = (runId) => this.json(`/runs/${encodeURIComponent(runId)}/stop`, { method: "POST" });
  sessions = ({ q, cursor, limit } = {}) => {
    const query = new URLSearchParams(Object.entries({ q, cursor, limit }).filter(([, value]) => value !== undefined));
    return this.json(`/sessions?${query}`);
  };
  session = (id) => this.json(`/sessions/${encodeURIComponent(id)}`);
  rename = (id, title) => this.json(`/sessions/${encodeURIComponent(id)}`, { method: "PATCH", body: { title } });
  remove = (id) => this.json(`/sessions/${encodeURIComponent(id)}`, { method: "DELETE" });

  /** A request; the answer is whatever the server said below 400. Throws `Problem`. */
  async request(path, { method = "GET", body, signal } = {}) {
    const headers = new Headers();
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    if (token) headers.set("authorization", `Bearer ${token}`);
    if (body !== undefined) headers.set("content-type", "application/json");
    let response;
    try {
      response = await this.#fetch(this.#base + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem(0, "network", error instanceof Error ? error.message : String(error));
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  async json(path, request) {
    const response = await this.request(path, request);
    return response.status === 204 ? undefined : response.json();
  }

  /** @internal */
  delay = (attempt) => this.#delay(attempt);
}

/** One answer: its events as they come, whatever the network does. */
export class Run {
  #agent;
  #options;
  #hangUp = new AbortController();
  #done;
  #settle;
  #begun = false;
  /** What has been said so far. */
  answer = empty();

  constructor(agent, options) {
    this.#agent = agent;
    this.#options = options;
    this.runId = options.runId;
    options.signal?.addEventListener("abort", () => this.leave(), { once: true });
    this.#done = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // Whoever only iterates has seen the error there.
    this.#done.catch(() => {});
  }

  /** The whole answer. Reads the stream if nobody else does. */
  get done() {
    if (!this.#begun) void this.#drain();
    return this.#done;
  }

  async #drain() {
    try {
      for await (const event of this) void event;
    } catch {
      // `done` tells it.
    }
  }

  /** Stops the run: the model stops, and what was said is kept. */
  stop = () => this.#agent.stop(this.runId);

  /** Stops reading. The run goes on. */
  leave = () => this.#hangUp.abort();

  async *[Symbol.asyncIterator]() {
    if (this.#begun) throw new Error("a run is read once; use follow() to read it again");
    this.#begun = true;
    try {
      for await (const event of this.#events()) {
        this.answer = fold(this.answer, event);
        yield event;
      }
      this.#settle.resolve(this.answer);
    } catch (error) {
      this.#settle.reject(error);
      throw error;
    } finally {
      this.leave();
      this.#settle.resolve(this.answer);
    }
  }

  async *#events() {
    const { submit } = this.#options;
    const signal = this.#hangUp.signal;
    let after = this.#options.after ?? 0;
    let seen = false;
    let attempt = 0;
    while (!signal.aborted) {
      const line = new AbortController();
      const cut = () => line.abort();
      signal.addEventListener("abort", cut);
      let timer;
      const alive = () => {
        clearTimeout(timer);
        timer = setTimeout(cut, SILENCE_MS);
      };
      try {
        alive();
        // Until the first frame the same request is repeated: the same run id is the same run.
        const response =
          submit && !seen
            ? await this.#agent.request(submit.path, { method: "POST", body: submit.body, signal: line.signal })
            : await this.#agent.request(`/runs/${encodeURIComponent(this.runId)}/events?after=${after}&events=all`, { signal: line.signal });
        for await (const frame of readFrames(response.body, alive)) {
          if (frame.id !== undefined && frame.id <= after) continue;
          seen = true;
          attempt = 0;
          after = frame.id ?? after;
          const event = decode(frame);
          if (event?.type === "continue") {
            this.runId = event.run_id ?? this.runId;
            after = event.after ?? after;
            attempt = -1;
            break;
          }
          if (event) yield event;
          if (event?.type === "done" || event?.type === "error") return;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Problem && !isTransient(error, seen || !submit)) throw error;
        // Anything else is a connection that broke in the middle.
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", cut);
        cut();
      }
      if (attempt >= 0) await pause(this.#agent.delay(attempt), signal);
      attempt += 1;
    }
  }
}
