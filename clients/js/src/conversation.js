// A conversation as a page shows it: turns that grow, and one run at a time.

/** Keeps the turns of a conversation; whoever shows them subscribes. */
export class Conversation {
  #agent;
  #run;
  #listeners = new Set();
  #state;

  constructor(agent, { sessionId = crypto.randomUUID() } = {}) {
    this.#agent = agent;
    this.#state = { sessionId, turns: [], running: false, error: undefined };
  }

  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  snapshot = () => this.#state;

  /** Sends a message and shows the answer as it comes. Resolves with the answer. */
  send = (message, options = {}) => {
    const run = this.#agent.send(message, { sessionId: this.#state.sessionId, ...options });
    this.#set({ turns: [...this.#state.turns, { id: run.runId, message, answer: run.answer }] });
    return this.#show(run, run.runId);
  };

  /** Decides on the calls that the last answer waits with. */
  decide = (approvals) => {
    const { id, answer } = this.#state.turns.at(-1);
    return this.#show(this.#agent.decide(answer.runId ?? id, approvals), id, answer);
  };

  /** Stops the answer that is being written. */
  stop = () => this.#run?.stop();

  async #show(run, id, before) {
    this.#run = run;
    this.#set({ running: true, error: undefined });
    if (before) run.answer = { ...before, approvals: [], outcome: undefined };
    try {
      for await (const event of run) {
        void event;
        this.#set({ turns: this.#state.turns.map((turn) => (turn.id === id ? { ...turn, answer: run.answer } : turn)) });
      }
      return run.answer;
    } catch (error) {
      this.#set({ error });
      throw error;
    } finally {
      this.#set({ running: false });
    }
  }

  #set(change) {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}
