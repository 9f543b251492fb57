/** One place that talks HTTP: adds the token, renews it once after a 401, and turns every failure into a `Problem`. */
import type { Fact, SessionPage, SessionSummary, StoredSession } from './types'

/** Whatever signs the user in only has to give a fresh token. */
export interface TokenSource {
  /** The token to send, renewed when it is about to end; undefined where nobody signs in. */
  token(): Promise<string | undefined>
  /** Gets a new token after the server refused the last one. False when that is impossible. */
  renew(): Promise<boolean>
  /** The user has to sign in again; resolves once that happened (never, where it means leaving the page). */
  signInAgain(): Promise<void>
}

/** A failure that the page can explain. `status` is 0 when no answer came at all. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** Seconds after which the server says it may work. */
    readonly retryAfter?: number,
    /** The live run that stands in the way (`session_busy`). */
    readonly runId?: string,
  ) {
    super(message)
  }
}

export const isNetwork = (error: unknown): boolean => error instanceof Problem && error.status === 0

type Request = { method?: string; json?: unknown; signal?: AbortSignal; keepalive?: boolean }

const problemOf = async (response: Response): Promise<Problem> => {
  const body = (await response.json().catch(() => null)) as Record<string, unknown> | null
  const text = (key: string) => (typeof body?.[key] === 'string' ? (body[key] as string) : undefined)
  const seconds = Number(response.headers.get('retry-after') ?? NaN)
  return new Problem(
    response.status,
    text('code') ?? `http_${response.status}`,
    text('detail') ?? text('title') ?? text('message') ?? `HTTP ${response.status}`,
    Number.isFinite(seconds) ? seconds : undefined,
    text('run_id'),
  )
}

/** What a request of somebody who has signed out comes to. */
const never = new Promise<never>(() => {})

export class Api {
  private ended = false

  constructor(
    readonly auth: TokenSource,
    private readonly base = '',
  ) {}

  /** Nothing is sent any more, and what is on its way is answered to nobody: whoever asked has signed out. */
  end() {
    this.ended = true
  }

  /** Sends a request; the answer is whatever the server said below 400. Throws `Problem`, or an AbortError when told to stop. */
  async fetch(path: string, request: Request = {}): Promise<Response> {
    let response = await this.once(path, request)
    if (response.status === 401 && (await this.auth.renew())) response = await this.once(path, request)
    if (response.status === 401) void this.auth.signInAgain()
    if (!response.ok) throw await problemOf(response)
    return response
  }

  private async once(path: string, { method = 'GET', json, signal, keepalive }: Request): Promise<Response> {
    const headers = new Headers()
    const token = await this.auth.token()
    if (this.ended) return never
    if (token) headers.set('authorization', `Bearer ${token}`)
    if (json !== undefined) headers.set('content-type', 'application/json')
    const body = json === undefined ? undefined : JSON.stringify(json)
    try {
      const response = await fetch(this.base + path, { method, headers, body, signal, keepalive, cache: 'no-store', redirect: 'error' })
      return this.ended ? never : response
    } catch (error) {
      if (signal?.aborted) throw error
      throw new Problem(0, 'network', error instanceof Error ? error.message : String(error))
    }
  }

  private async json<T>(path: string, request?: Request): Promise<T> {
    const response = await this.fetch(path, request)
    return (response.status === 204 ? undefined : await response.json()) as T
  }

  sessions = (q: string, cursor?: string, signal?: AbortSignal) => {
    const query = new URLSearchParams({ limit: '50', ...(q && { q }), ...(cursor && { cursor }) })
    return this.json<SessionPage>(`/sessions?${query}`, { signal })
  }
  session = (id: string, signal?: AbortSignal) => this.json<StoredSession>(`/sessions/${encodeURIComponent(id)}`, { signal })
  rename = (id: string, title: string) =>
    this.json<SessionSummary>(`/sessions/${encodeURIComponent(id)}`, { method: 'PATCH', json: { title } })
  remove = (id: string, keepalive = false) =>
    this.json<void>(`/sessions/${encodeURIComponent(id)}`, { method: 'DELETE', keepalive })
  removeAll = () => this.json<{ deleted: number }>('/sessions', { method: 'DELETE' })
  stop = (runId: string) => this.json<{ outcome: string }>(`/runs/${encodeURIComponent(runId)}/stop`, { method: 'POST' })
  feedback = (runId: string, rating: 'up' | 'down', comment?: string) =>
    this.json<void>(`/runs/${encodeURIComponent(runId)}/feedback`, { method: 'POST', json: { rating, comment } })
  facts = async () => (await this.json<{ facts: Fact[] }>('/memory')).facts
  /** Forgets one fact, or all. */
  forget = (id?: string) => this.json<unknown>(id === undefined ? '/memory' : `/memory/${encodeURIComponent(id)}`, { method: 'DELETE' })
  /** The conversation as a file. A plain link cannot carry the token, so the page downloads it itself. */
  export = async (id: string, format: 'md' | 'json') =>
    (await this.fetch(`/sessions/${encodeURIComponent(id)}/export?format=${format}`)).blob()
}
