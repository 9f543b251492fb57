// Frames as typed events. A frame that is not what it should be is skipped, as is an event that a newer server invented.

const KNOWN = new Set([
  "metadata", "reasoning", "tool_start", "tool_input", "tool_call", "tool_progress", "tool_result", "approval",
  "client_tool", "reset", "usage", "custom", "continue", "error", "done",
]);

/** The event of a frame, or nothing. */
export function decode({ id, event, data }) {
  let fields;
  try {
    fields = JSON.parse(data);
  } catch {
    return undefined;
  }
  if (typeof fields !== "object" || fields === null) return undefined;
  const type = event === "message" ? "text" : event;
  if (type === "text" ? typeof fields.text !== "string" : !KNOWN.has(type)) return undefined;
  return { ...fields, type, cursor: id };
}

/** An answer without anything said yet. */
export const empty = () => ({ text: "", reasoning: "", tools: [], approvals: [], outcome: undefined, kept: [0, 0, 0] });

/** Takes an event into an answer; gives a new one. */
export function fold(answer, event) {
  const tool = (change) =>
    ({ ...answer, tools: answer.tools.map((known) => (known.id === event.id ? { ...known, ...change } : known)) });
  const keep = (next) => ({ ...next, kept: [next.text.length, next.reasoning.length, next.tools.length] });
  switch (event.type) {
    case "metadata":
      return { ...answer, sessionId: event.session_id, runId: event.run_id, model: event.model };
    case "text":
      return { ...answer, text: answer.text + event.text };
    case "reasoning":
      return { ...answer, reasoning: answer.reasoning + event.reasoning };
    case "tool_call":
      return { ...answer, tools: [...answer.tools, { id: event.id, name: event.name, input: event.input }] };
    case "tool_progress":
      return tool({ progress: { message: event.message, progress: event.progress, total: event.total } });
    case "tool_result":
      return keep(tool({ output: event.output, isError: event.is_error }));
    case "approval": {
      const { type, ...approval } = event;
      return { ...answer, approvals: [...answer.approvals, approval] };
    }
    case "usage":
      return keep(answer);
    case "reset": {
      const [text, reasoning, tools] = answer.kept;
      return { ...answer, text: answer.text.slice(0, text), reasoning: answer.reasoning.slice(0, reasoning), tools: answer.tools.slice(0, tools) };
    }
    case "error":
      return { ...answer, outcome: "failed", error: { message: event.error, code: event.code, retryable: event.retryable === true } };
    case "done":
      return { ...answer, outcome: event.outcome, messageCount: event.message_count, usage: event.usage };
    default:
      return answer;
  }
}
