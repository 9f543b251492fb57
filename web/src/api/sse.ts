/** Server-sent events out of a response body, in whatever pieces the network delivers it. */
import { createParser, type EventSourceMessage } from 'eventsource-parser'

export interface Frame {
  /** The cursor: the number to resume after. Absent on frames that are not in the run's log. */
  id?: number
  /** The event's name; unnamed events are called `message`. */
  event: string
  /** The data as it arrived. */
  raw: string
  /** When it arrived, in milliseconds of `performance.now()`. */
  at: number
}

/**
 * Reads frames until the body ends. `alive` is called for every piece that arrives, comments included: a heartbeat is
 * nothing but a comment. Invalid UTF-8 throws, as the stream would be somebody else's.
 */
export async function* readFrames(body: ReadableStream<Uint8Array>, alive: () => void = () => {}): AsyncGenerator<Frame> {
  const ready: Frame[] = []
  const parser = createParser({
    onEvent: (message: EventSourceMessage) => {
      const id = message.id !== undefined && /^\d+$/.test(message.id) ? Number(message.id) : undefined
      ready.push({ id, event: message.event ?? 'message', raw: message.data, at: performance.now() })
    },
  })
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const reader = body.getReader()
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      alive()
      parser.feed(decoder.decode(value, { stream: true }))
      while (ready.length > 0) yield ready.shift() as Frame
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}
