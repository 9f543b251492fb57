/** What arrived for a run and when: the inspector's record. Kept in memory only. */
import type { Link } from '../api/run'
import type { Frame } from '../api/sse'
import { decode } from './events'

const MAX_FRAMES = 20_000
const MAX_RUNS = 30

export interface Trace {
  runId: string
  /** `performance.now()` when the page asked. */
  startedAt: number
  frames: Frame[]
  links: { at: number; link: Link }[]
  /** True when the run was joined, so that the times are those of the replay. */
  joined: boolean
}

export interface Span {
  label: string
  kind: 'reasoning' | 'text' | 'tool' | 'failed'
  /** Milliseconds after the start. */
  from: number
  to: number
}

export interface Figures {
  firstTokenMs?: number
  totalMs: number
  tokens?: number
  tokensPerSecond?: number
  spans: Span[]
}

export class Traces {
  readonly runs = new Map<string, Trace>()

  begin(runId: string, joined: boolean): Trace {
    return this.add({ ...replay(runId), joined })
  }

  add(trace: Trace): Trace {
    this.runs.set(trace.runId, trace)
    const oldest = this.runs.keys().next().value
    if (this.runs.size > MAX_RUNS && oldest !== undefined) this.runs.delete(oldest)
    return trace
  }
}

/** Is given to the map only when it is whole: half of one would look like a run that broke off. */
export const replay = (runId: string): Trace => ({ runId, startedAt: performance.now(), frames: [], links: [], joined: true })

export const record = (trace: Trace, frame: Frame): void => {
  if (trace.frames.length < MAX_FRAMES) trace.frames.push(frame)
}

/** First-token time, tokens a second and the spans of the time line, from the frames alone. */
export function figures(trace: Trace): Figures {
  const spans: Span[] = []
  const tools = new Map<string, Span>()
  let firstToken: number | undefined
  let lastToken = 0
  let tokens: number | undefined
  let last = 0
  for (const frame of trace.frames) {
    const at = frame.at - trace.startedAt
    last = at
    const event = decode(frame)
    if (!event) continue
    if (event.type === 'text' || event.type === 'reasoning') {
      firstToken ??= at
      lastToken = at
      const open = spans.at(-1)
      if (open?.kind === event.type) open.to = at
      else spans.push({ label: event.type, kind: event.type, from: at, to: at })
    } else if (event.type === 'tool_start' || event.type === 'tool_call') {
      firstToken ??= at
      const span = tools.get(event.id)
      if (!span) {
        const started: Span = { label: event.name, kind: 'tool', from: at, to: at }
        tools.set(event.id, started)
        spans.push(started)
      } else span.to = at
    } else if (event.type === 'tool_result') {
      const span = tools.get(event.id)
      if (span) Object.assign(span, { to: at, kind: event.isError ? 'failed' : 'tool' })
    } else if (event.type === 'usage' && event.usage.output_tokens !== undefined) {
      tokens = (tokens ?? 0) + event.usage.output_tokens
    }
  }
  const writing = firstToken === undefined ? 0 : lastToken - firstToken
  return {
    firstTokenMs: firstToken,
    totalMs: last,
    tokens,
    tokensPerSecond: tokens !== undefined && writing > 0 ? (tokens * 1000) / writing : undefined,
    spans,
  }
}
