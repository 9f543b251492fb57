/** Runs whose server died: asked anew once, where that can do no harm. */
import { beforeEach, expect, it, vi } from 'vitest'
import { anew } from '../src/chat/lost'
import { turnsOf } from '../src/chat/history'
import { answerText } from '../src/chat/reducer'
import { ChatStore } from '../src/chat/store'
import type { StoredMessage } from '../src/api/types'
import { readDraft } from '../src/lib/storage'
import { retryNow } from '../src/lib/pause'
import { api, problem, stream, wire } from './support'

interface Post {
  path: string
  body: Record<string, unknown>
}
let posts: Post[]
/** What the server answers to each `POST /chat` in turn, and to reads of the conversation and of runs. */
let chats: ((body: Record<string, unknown>) => Response | Promise<Response>)[]
let session: () => Response
let events: () => Response

beforeEach(() => {
  posts = []
  chats = []
  session = () => problem(404, 'not_found')
  events = () => problem(404, 'not_found')
  localStorage.clear()
  // The pages of other tests must not hear of this one's.
  vi.stubGlobal('BroadcastChannel', undefined)
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const body = init.body ? (JSON.parse(String(init.body)) as Record<string, unknown>) : {}
    if (init.method === 'POST') posts.push({ path: url, body })
    if (url.startsWith('/sessions/')) return session()
    if (url.endsWith('/stop')) return problem(503, 'overloaded')
    if (url.startsWith('/runs/')) return events()
    const next = chats.shift()
    if (!next) throw new Error(`unexpected ${init.method} ${url} ${String(init.body)}`)
    return next(body)
  })
})

const now = new Date().toISOString()
const question = (run_id: string | undefined, created_at = now): StoredMessage => ({ role: 'user', content: [{ text: 'why?' }], metadata: { run_id, created_at } })
const LOST = { message: 'The server stopped.', code: 'run_lost', retryable: true }
const half = (run_id: string): StoredMessage => ({ role: 'assistant', content: [{ text: 'Half' }], metadata: { run_id, created_at: now, outcome: 'failed', error: LOST } })
const stored = (messages: StoredMessage[], more: object = {}) => () =>
  Response.json({ session_id: 's', title: 'T', created_at: now, updated_at: now, message_count: messages.length, messages, ...more })
const begin = (run_id: unknown): [string, unknown] => ['metadata', { session_id: 's', run_id, history_length: 0 }]
const dies = (body: Record<string, unknown>) => {
  session = stored([question(String(body.run_id)), half(String(body.run_id))])
  return stream(wire([begin(body.run_id), ['', { text: 'Half' }], ['error', { error: LOST.message, code: LOST.code, retryable: true }]]))
}
const whole = (body: Record<string, unknown>) => stream(wire([begin(body.run_id), ['', { text: 'Whole.' }], ['done', { outcome: 'complete', message_count: 2 }]]))

const open = (keepsSessions = true) => new ChatStore({ api: api(), keepsSessions, onListChange: () => {}, onMention: () => {} })
const last = (store: ChatStore) => store.get('s')?.turns.at(-1)
const asked = () => posts.filter((p) => p.path === '/chat').map((p) => p.body)
const answered = (store: ChatStore, text = 'Whole.') =>
  vi.waitFor(() => {
    expect(store.isLive('s')).toBe(false)
    expect(last(store)?.answer.status).toBe('done')
    expect(answerText(last(store)!.answer)).toBe(text)
  })
/** Whatever the store would still do by itself has had its time. */
const settled = async (store: ChatStore, code = 'run_lost') => {
  await vi.waitFor(() => expect(last(store)?.answer.error?.code).toBe(code))
  await new Promise((r) => setTimeout(r, 50))
  expect(store.isLive('s')).toBe(false)
}

it('a run that was being shown is asked anew in its place, and what was shown stays as a version', async () => {
  chats = [dies, whole]
  const store = open()
  store.send('s', 'why?')
  await answered(store)
  const [first, second] = asked()
  expect(second).toMatchObject({ message: 'why?', session_id: 's', run_id: `${String(first?.run_id)}-again`, history_length: 0 })
  expect(store.get('s')?.turns).toHaveLength(1)
  expect(store.get('s')?.branches.map((b) => b.turns.map((t) => answerText(t.answer)))).toEqual([['Half']])
})

it('a run that is found lost on opening the page is asked anew', async () => {
  session = stored([question('r1'), half('r1')])
  chats = [whole]
  const store = open()
  store.open('s')
  await answered(store)
  expect(asked()).toMatchObject([{ run_id: 'r1-again', history_length: 0 }])
})

it('a server that dies again is not asked a third time, also not after a reload', async () => {
  chats = [dies, dies]
  const store = open()
  store.send('s', 'why?')
  await vi.waitFor(() => expect(asked()).toHaveLength(2))
  await settled(store)
  const reloaded = open()
  reloaded.open('s')
  await settled(reloaded)
  expect(asked()).toHaveLength(2)
})

it('two pages ask for the same run', async () => {
  session = stored([question('r1'), half('r1')])
  chats = [whole, whole]
  const stores = [open(), open()]
  for (const store of stores) store.open('s')
  for (const store of stores) await answered(store)
  expect(asked()[0]).toEqual(asked()[1])
})

it('somebody who was faster is read, and nothing is put into the composer', async () => {
  session = stored([question('r1'), half('r1')])
  chats = [
    () => {
      session = stored([question('other')], { run: { id: 'other' } })
      return problem(409, 'session_busy', { run_id: 'other' })
    },
  ]
  events = () => stream(wire([begin('other'), ['', { text: 'From elsewhere.' }], ['done', { outcome: 'complete', message_count: 2 }]]))
  const store = open()
  store.open('s')
  await answered(store, 'From elsewhere.')
  expect(readDraft('s')).toBe('')
  expect(asked()).toHaveLength(1)
})

it('a refusal that stays is not asked against', async () => {
  session = stored([question('r1'), half('r1')])
  chats = [() => problem(409, 'run_conflict')]
  const store = open()
  store.open('s')
  await vi.waitFor(() => expect(asked()).toHaveLength(1))
  await settled(store)
  expect(asked()).toHaveLength(1)
})

it('what the reader stopped is not asked anew, also not after a reload', async () => {
  let frames: ReadableStreamDefaultController<Uint8Array> | undefined
  const say = (...pairs: [string, unknown][]) => frames?.enqueue(new TextEncoder().encode(wire(pairs, pairs[0]?.[0] === 'error' ? 2 : 1)))
  chats = [() => new Response(new ReadableStream({ start: (c) => void (frames = c) }), { headers: { 'content-type': 'text/event-stream' } })]
  const store = open()
  store.send('s', 'why?')
  await vi.waitFor(() => expect(frames).toBeDefined())
  const run = String(asked()[0]?.run_id)
  session = stored([question(run), half(run)])
  say(begin(run))
  store.stop('s')
  say(['error', { error: LOST.message, code: 'run_lost', retryable: true }])
  await settled(store)
  const reloaded = open()
  reloaded.open('s')
  await settled(reloaded)
  expect(asked()).toHaveLength(1)
})

it('a conversation that cannot be read for a moment is asked about again', async () => {
  chats = [
    (body) => {
      const end = dies(body)
      const then = session
      session = () => ((session = then), problem(503, 'overloaded'))
      return end
    },
    whole,
  ]
  const store = open()
  store.send('s', 'why?')
  const poke = setInterval(retryNow, 10)
  await answered(store).finally(() => clearInterval(poke))
})

it('a server that keeps nothing is asked anew as well', async () => {
  chats = [(body) => new Response(new ReadableStream({ start: (c) => (c.enqueue(new TextEncoder().encode(wire([begin(body.run_id), ['', { text: 'Half' }]]))), c.close()) }), { headers: { 'content-type': 'text/event-stream' } }), whole]
  const store = open(false)
  store.send('s', 'why?')
  const poke = setInterval(retryNow, 10)
  await answered(store).finally(() => clearInterval(poke))
  expect(asked()[1]).toMatchObject({ run_id: `${String(asked()[0]?.run_id)}-again` })
  expect(asked()[1]).not.toHaveProperty('history_length')
  expect(store.get('s')?.branches.map((b) => b.turns.map((t) => answerText(t.answer)))).toEqual([['Half']])
})

it('is for the reader to decide where something could be done twice, or nobody waits any more', () => {
  const of = (...messages: StoredMessage[]) => anew(turnsOf(messages)[0]!)
  const call: StoredMessage = { role: 'assistant', content: [{ toolUse: { toolUseId: 't', name: 'pay', input: {} } }] }
  const result: StoredMessage = { role: 'user', content: [{ toolResult: { toolUseId: 't', status: 'success', content: [{ text: 'paid' }] } }], metadata: { error: LOST } }
  expect(of(question('r1'), half('r1'))).toBe('r1-again')
  // The server died before the first word; but a question that another program left without an answer is left alone.
  expect(of(question('r1'))).toBe('r1-again')
  expect(of(question(undefined))).toBeUndefined()
  expect(of(question('r1'), call, result)).toBeUndefined()
  expect(of(question('r1', new Date(Date.now() - 25 * 3600_000).toISOString()), half('r1'))).toBeUndefined()
  expect(of(question('r1-again'), half('r1-again'))).toBeUndefined()
  const failed = { ...half('r1'), metadata: { ...half('r1').metadata, error: { ...LOST, code: 'model_overloaded' } } }
  expect(of(question('r1'), failed)).toBeUndefined()
  expect(of(question('r1'), { ...half('r1'), metadata: { run_id: 'r1', outcome: 'cancelled' } })).toBeUndefined()
  const image = (bytes?: string): StoredMessage => ({ ...question('r1'), content: [{ text: 'why?' }, { image: { format: 'png', source: { bytes } } }] })
  expect(of(image('AAAA'), half('r1'))).toBe('r1-again')
  expect(of(image(), half('r1'))).toBeUndefined()
})

it('a message with a file of megabytes waits for the network over a reload', async () => {
  const data = 'A'.repeat(3_000_000)
  const store = open()
  chats = [() => new Promise(() => {})]
  store.send('s', 'read this', [{ name: 'big.pdf', mediaType: 'application/pdf', data }])
  await vi.waitFor(() => expect(asked()).toHaveLength(1))
  const [first] = asked()
  chats = [whole]
  const reloaded = open()
  reloaded.open('s')
  await answered(reloaded)
  expect(asked()[1]).toEqual(first)
})
