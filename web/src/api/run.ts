/**
 * Follows one run to its end, whatever the network does.
 *
 * Until the first frame has arrived the same POST is repeated with the same run id, which the server takes as the same
 * run; from then on the run's log is read on after the last cursor. The loop ends with a terminal frame, with a
 * refusal, or when the caller aborts: never because a connection did.
 */
import { pause } from '../lib/pause'
import { readFrames, type Frame } from './sse'
import { Problem, type Api } from './transport'

/** The server sends a comment after 10 s of silence; three missed ones and a little more mean that the line is dead. */
export const SILENCE_MS = 35_000
const FIRST_DELAY_MS = 400
const LONGEST_DELAY_MS = 15_000

export type Link = 'connecting' | 'open' | 'waiting' | 'signed_out'

export interface FollowOptions {
  runId: string
  /** The request that starts the run; without it the run is only read. */
  submit?: { path: string; body: Record<string, unknown> }
  /** Read after this cursor. */
  after?: number
  signal: AbortSignal
  onFrame(frame: Frame): void
  onLink(link: Link): void
  /** For tests: how long to wait before attempt n, and how long silence may last. */
  delay?: (attempt: number) => number
  silenceMs?: number
}

/** Exponential, with jitter so that a restarted server is not met by every page at once. */
export const backoff = (attempt: number): number =>
  Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt) * (0.5 + Math.random() / 2)

const TRANSIENT = new Set([0, 408, 425, 502, 504])
/** Failures of the way there, not of the request. Once a run is under way, being busy is one of them too. */
const isTransient = (problem: Problem, underWay: boolean): boolean =>
  TRANSIENT.has(problem.status) ||
  problem.code === 'draining' ||
  (underWay && (problem.status === 429 || problem.status >= 500))

export async function followRun(api: Api, options: FollowOptions): Promise<void> {
  const { signal, submit, onFrame, onLink, delay = backoff, silenceMs = SILENCE_MS } = options
  let { runId, after = 0 } = options
  let seen = false
  let attempt = 0

  while (!signal.aborted) {
    const line = new AbortController()
    const hangUp = () => line.abort()
    signal.addEventListener('abort', hangUp)
    let timer: ReturnType<typeof setTimeout> | undefined
    let heard = Date.now()
    const alive = () => {
      heard = Date.now()
      clearTimeout(timer)
      timer = setTimeout(hangUp, silenceMs)
    }
    // Timers sleep with the laptop: on waking the silence is measured by the clock.
    const woken = () => document.visibilityState === 'visible' && Date.now() - heard > silenceMs && hangUp()
    document.addEventListener('visibilitychange', woken)
    // A lost network often leaves the socket open and silent; there is no need to wait for the dead-man timer.
    addEventListener('offline', hangUp)
    try {
      onLink('connecting')
      alive()
      const response =
        submit && !seen
          ? await api.fetch(submit.path, { method: 'POST', json: submit.body, signal: line.signal })
          : await api.fetch(`/runs/${encodeURIComponent(runId)}/events?after=${after}&events=all`, { signal: line.signal })
      if (!response.headers.get('content-type')?.startsWith('text/event-stream') || !response.body)
        throw new Problem(response.status, 'not_a_stream', 'The server did not answer with an event stream.')
      onLink('open')
      for await (const frame of readFrames(response.body, alive)) {
        if (signal.aborted) return
        if (frame.id !== undefined && frame.id <= after) continue
        seen = true
        attempt = 0
        if (frame.id !== undefined) after = frame.id
        onFrame(frame)
        if (frame.event === 'done' || frame.event === 'error') return
        if (frame.event === 'continue') {
          const next = JSON.parse(frame.raw) as { run_id?: string; after?: number }
          runId = next.run_id ?? runId
          after = next.after ?? after
          attempt = -1
          break
        }
      }
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof Problem) {
        if (error.status === 401) {
          onLink('signed_out')
          await Promise.race([api.auth.signInAgain(), new Promise((end) => signal.addEventListener('abort', end))])
          attempt = -1
        } else if (!isTransient(error, seen || !submit)) throw error
        else if (error.retryAfter) {
          onLink('waiting')
          await pause(Math.min(error.retryAfter * 1000, LONGEST_DELAY_MS), signal)
          attempt = -1
        }
      }
      // Anything else is a connection that broke in the middle.
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', hangUp)
      document.removeEventListener('visibilitychange', woken)
      removeEventListener('offline', hangUp)
      line.abort()
    }
    if (signal.aborted) return
    if (attempt >= 0) {
      onLink('waiting')
      await pause(delay(attempt), signal)
    }
    attempt += 1
  }
}
