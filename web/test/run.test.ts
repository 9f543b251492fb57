import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { backoff, followRun, type FollowOptions, type Link } from '../src/api/run'
import type { TokenSource } from '../src/api/transport'
import { api, bodyOf, nobody, problem, stream, wire } from './support'

interface Call {
  method: string
  url: string
  body?: unknown
  token?: string | null
}
type Answer = (call: Call, signal: AbortSignal) => Response | Promise<Response>

let calls: Call[] = []
let answers: Answer[] = []

beforeEach(() => {
  calls = []
  answers = []
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const headers = new Headers(init.headers)
    const call = { method: init.method ?? 'GET', url, body: init.body ? JSON.parse(String(init.body)) : undefined, token: headers.get('authorization') }
    calls.push(call)
    const next = answers.shift()
    if (!next) throw new Error(`unexpected request: ${url}`)
    return next(call, init.signal as AbortSignal)
  })
})
afterEach(() => void vi.unstubAllGlobals())

const down: Answer = () => Promise.reject(new TypeError('Failed to fetch'))
/** A stream that breaks in the middle. */
const cut = (text: string): Answer => () => {
  let given = false
  const pull = (c: ReadableStreamDefaultController) => (given ? c.error(new TypeError('network')) : c.enqueue(new TextEncoder().encode(text)), void (given = true))
  return new Response(new ReadableStream({ pull }), { headers: { 'content-type': 'text/event-stream' } })
}
const META: [string, unknown] = ['metadata', { session_id: 's', run_id: 'r' }]
const DONE: [string, unknown] = ['done', { outcome: 'complete', message_count: 2 }]

const follow = async (options: Partial<FollowOptions> = {}, auth: TokenSource = nobody) => {
  const seen: string[] = []
  const links: Link[] = []
  await followRun(api(auth), {
    runId: 'r',
    submit: { path: '/chat', body: { message: 'hi', run_id: 'r' } },
    signal: new AbortController().signal,
    delay: () => 1,
    onFrame: (f) => void seen.push(`${f.id} ${f.event} ${f.raw}`),
    onLink: (link) => void links.push(link),
    ...options,
  })
  return { seen, links, asked: calls.map((c) => `${c.method} ${c.url}`) }
}
const ids = (seen: string[]) => seen.map((s) => Number(s.split(' ')[0]))

describe('following a run', () => {
  it('ends with the terminal frame', async () => {
    answers = [() => stream(wire([META, ['', { text: 'a' }], DONE]))]
    const { seen, asked } = await follow()
    expect(ids(seen)).toEqual([1, 2, 3])
    expect(asked).toEqual(['POST /chat'])
  })

  it('sends the same request again while nothing has been answered', async () => {
    answers = [down, () => problem(502, 'bad_gateway'), () => stream(''), () => stream(wire([META, DONE]))]
    const { asked, links } = await follow()
    expect(asked).toEqual(['POST /chat', 'POST /chat', 'POST /chat', 'POST /chat'])
    expect(new Set(calls.map((c) => JSON.stringify(c.body))).size).toBe(1)
    expect(links).toContain('waiting')
  })

  it('reads on after the last cursor once something was answered, and shows nothing twice', async () => {
    answers = [
      cut(wire([META, ['', { text: 'a' }]])),
      down,
      () => stream(wire([['', { text: 'b' }]], 3)), // ends without a terminal frame
      () => stream(wire([['', { text: 'b' }], ['', { text: 'c' }], DONE], 3)), // repeats what is known
    ]
    const { seen, asked } = await follow()
    expect(ids(seen)).toEqual([1, 2, 3, 4, 5])
    expect(asked).toEqual(['POST /chat', 'GET /runs/r/events?after=2&events=all', 'GET /runs/r/events?after=2&events=all', 'GET /runs/r/events?after=3&events=all'])
  })

  it('goes on elsewhere when told to', async () => {
    answers = [() => stream(wire([META, ['continue', { run_id: 'r2', after: 2 }]])), () => stream(wire([DONE], 3))]
    const { asked } = await follow()
    expect(asked[1]).toBe('GET /runs/r2/events?after=2&events=all')
  })

  it('takes silence for a dead line', async () => {
    const silent: Answer = (_, signal) => {
      const body = new ReadableStream({ start: (c) => (c.enqueue(new TextEncoder().encode(wire([META]))), signal.addEventListener('abort', () => c.error(new Error('aborted')))) })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    }
    answers = [silent, () => stream(wire([DONE], 2))]
    const { seen, asked } = await follow({ silenceMs: 30 })
    expect(ids(seen)).toEqual([1, 2])
    expect(asked[1]).toBe('GET /runs/r/events?after=1&events=all')
  })

  it('gives a refusal to the caller', async () => {
    answers = [() => problem(409, 'session_busy', { run_id: 'other' })]
    await expect(follow()).rejects.toMatchObject({ status: 409, code: 'session_busy', runId: 'other', message: 'The detail of session_busy.' })
    answers = [() => problem(429, 'rate_limited', {}, { 'retry-after': '7' })]
    await expect(follow()).rejects.toMatchObject({ code: 'rate_limited', retryAfter: 7 })
    answers = [() => problem(404, 'not_found')]
    await expect(follow({ submit: undefined })).rejects.toMatchObject({ status: 404 })
  })

  it('waits out a server that restarts', async () => {
    answers = [() => problem(503, 'draining'), () => stream(wire([META, DONE]))]
    expect((await follow()).asked).toHaveLength(2)
  })

  it('stays with a run through a token that has ended', async () => {
    let token = 'old'
    const auth: TokenSource = { token: async () => token, renew: async () => ((token = 'new'), true), signInAgain: async () => expect.unreachable() }
    answers = [cut(wire([META])), () => problem(401, 'unauthorized'), () => stream(wire([DONE], 2))]
    const { seen } = await follow({}, auth)
    expect(ids(seen)).toEqual([1, 2])
    expect(calls.map((c) => c.token)).toEqual(['Bearer old', 'Bearer old', 'Bearer new'])
  })

  it('waits for a new sign-in and then sends the message that it kept', async () => {
    let token = 'old'
    const auth: TokenSource = { token: async () => token, renew: async () => false, signInAgain: async () => void (token = 'new') }
    answers = [() => problem(401, 'unauthorized'), () => stream(wire([META, DONE]))]
    const { asked, links } = await follow({}, auth)
    expect(asked).toEqual(['POST /chat', 'POST /chat'])
    expect(links).toContain('signed_out')
  })

  it('wakes at once when the network comes back', async () => {
    answers = [down, () => stream(wire([META, DONE]))]
    const going = follow({ delay: () => 60_000, onLink: (link) => link === 'waiting' && setTimeout(() => dispatchEvent(new Event('online'))) })
    await going
    expect(calls).toHaveLength(2)
  })

  it('leaves without a word when the caller does', async () => {
    const control = new AbortController()
    answers = [() => new Response(bodyOf(wire([META, ['', { text: 'a' }], DONE]), 9), { headers: { 'content-type': 'text/event-stream' } })]
    const seen: number[] = []
    await follow({ signal: control.signal, onFrame: (f) => (seen.push(f.id ?? 0), control.abort()) })
    expect(seen).toEqual([1])
  })

  it('waits longer each time, up to a limit, and not exactly as long as everybody else', () => {
    for (let n = 0; n < 12; n++) {
      const most = Math.min(15_000, 400 * 2 ** n)
      expect(backoff(n)).toBeGreaterThanOrEqual(most / 2)
      expect(backoff(n)).toBeLessThanOrEqual(most)
    }
  })
})
