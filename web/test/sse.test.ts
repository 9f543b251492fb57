import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readFrames } from '../src/api/sse'
import { decode, type ChatEvent } from '../src/chat/events'
import { answerText, emptyAnswer, reduce, type Answer } from '../src/chat/reducer'
import { bodyOf, eventsOf, framesOf } from './support'

const SIZES = [1, 2, 3, 4, 5, 6, 7]
const fold = (events: ChatEvent[]): Answer => events.reduce(reduce, emptyAnswer())

const TRANSCRIPT =
  'id: 1\nevent: metadata\ndata: {"session_id":"abc-123","run_id":"r1","model":"m","history_length":2}\n\n: ping\n\n' +
  'id: 2\ndata: {"text":"Hé"}\n\nid: 3\ndata: {"text":"llo 🎉"}\n\nevent: later\ndata: {"x":1}\n\nid: 4\nevent: done\ndata: {"outcome":"complete","message_count":4}\n\n'

describe('the parser', () => {
  it.each(SIZES)('reads a transcript in pieces of %i bytes', async (size) => {
    expect(await eventsOf(TRANSCRIPT, size)).toEqual([
      { type: 'metadata', sessionId: 'abc-123', runId: 'r1', model: 'm', historyLength: 2 },
      { type: 'text', text: 'Hé' },
      { type: 'text', text: 'llo 🎉' },
      { type: 'done', outcome: 'complete', messageCount: 4 },
    ])
  })
  it('keeps cursors, and has none where the wire has none', async () => {
    expect((await framesOf(TRANSCRIPT, 3)).map((f) => f.id)).toEqual([1, 2, 3, undefined, 4])
  })
  it('takes CRLF line ends', async () => {
    expect(await eventsOf(TRANSCRIPT.replaceAll('\n', '\r\n'), 3)).toHaveLength(4)
  })
  it('counts comments as signs of life', async () => {
    let alive = 0
    for await (const _ of readFrames(bodyOf(': ping\n\n: ping\n\n', 8), () => alive++)) expect.unreachable()
    expect(alive).toBe(2)
  })
  it('refuses bytes that are not UTF-8', async () => {
    const body = new ReadableStream<Uint8Array>({ start: (c) => (c.enqueue(new Uint8Array([0x64, 0xff, 0xfe])), c.close()) })
    await expect(readFrames(body).next()).rejects.toThrow()
  })
})

describe('decoding', () => {
  it.each([
    ['not JSON', { event: 'message', raw: '{"text":' }],
    ['not an object', { event: 'message', raw: '7' }],
    ['null', { event: 'done', raw: 'null' }],
    ['text that is no string', { event: 'message', raw: '{"text":1}' }],
    ['a call without an id', { event: 'tool_call', raw: '{"name":"x","input":{}}' }],
    ['an event of a newer server', { event: 'hologram', raw: '{"id":"1"}' }],
  ])('skips %s', (_, frame) => expect(decode(frame)).toBeUndefined())
})

// The golden transcripts are written by the server's own tests.
const GOLDEN = join(import.meta.dirname, '../../fixtures/wire/chat')
const golden = existsSync(GOLDEN) ? readdirSync(GOLDEN).filter((name) => name.endsWith('.all.sse')) : []

describe.runIf(golden.length > 0)('the golden transcripts', () => {
  it.each(golden)('%s means the same in pieces of every size', async (name) => {
    const text = readFileSync(join(GOLDEN, name), 'utf8')
    const whole = await eventsOf(text, text.length)
    for (const size of SIZES) expect(await eventsOf(text, size)).toEqual(whole)
    // Everything that the server writes is understood: nothing of it is skipped.
    const frames = await framesOf(text, 1000)
    expect(whole).toHaveLength(frames.length)
    const ends = whole.flatMap((e, i) => (e.type === 'done' || e.type === 'error' ? [i] : []))
    if (ends.length > 0) expect(ends).toEqual([whole.length - 1])
    const answer = fold(whole)
    if (ends.length > 0) expect(answer.status).not.toBe('running')
    // What was not taken back is what is shown.
    if (!whole.some((e) => e.type === 'reset')) {
      const said = whole.flatMap((e) => (e.type === 'text' ? [e.text] : [])).join('')
      expect(answerText(answer).replaceAll('\n', '')).toBe(said.replaceAll('\n', ''))
    }
  })
})
