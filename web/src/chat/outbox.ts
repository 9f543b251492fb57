/**
 * Messages whose run has not answered yet. A page that is closed, reloaded or sent to a sign-in page before the first
 * frame submits the same request again with the same run id when it comes back, which the server takes as one run.
 */
import { read, write } from '../lib/storage'

export interface Outgoing {
  runId: string
  body: Record<string, unknown>
  /** Milliseconds since 1970. */
  at: number
}

const key = (sessionId: string) => `outbox:${sessionId}`
const MAX_AGE_MS = 60 * 60 * 1000
/** Browsers keep five million characters for a site; what does not fit beside the rest is not kept. */
const MAX_CHARS = 4_500_000

export const keep = (sessionId: string, outgoing: Outgoing): void => {
  const text = JSON.stringify(outgoing)
  if (text.length < MAX_CHARS) write(key(sessionId), text)
}

export const forget = (sessionId: string): void => write(key(sessionId), null)

export const waiting = (sessionId: string, now = Date.now()): Outgoing | undefined => {
  try {
    const found = JSON.parse(read(key(sessionId)) ?? 'null') as Outgoing | null
    return found && now - found.at < MAX_AGE_MS ? found : undefined
  } catch {
    return undefined
  }
}
