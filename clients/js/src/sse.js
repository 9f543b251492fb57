// Server-sent events out of a response body, in whatever pieces the network delivers it.

/**
 * Reads frames until the body ends. `alive` is called for every piece that arrives, comments included: a heartbeat is
 * nothing but a comment.
 */
export async function* readFrames(body, alive = () => {}) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const reader = body.getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      // A frame without its empty line was cut: it does not count.
      if (done) return;
      alive();
      rest += decoder.decode(value, { stream: true });
      for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
        const frame = parse(rest.slice(0, end));
        rest = rest.slice(end + 2);
        if (frame) yield frame;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(text) {
  const frame = { id: undefined, event: "message", data: undefined };
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const name = line.slice(0, colon);
    if (name === "id" && /^\d+$/.test(value)) frame.id = Number(value);
    else if (name === "event") frame.event = value;
    else if (name === "data") frame.data = frame.data === undefined ? value : `${frame.data}\n${value}`;
  }
  return frame.data === undefined ? undefined : frame;
}
