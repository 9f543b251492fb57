import { readdirSync, readFileSync } from 'node:fs'
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

// The golden transcripts are written by the server's own tests, one for each course that an answer can take.
const GOLDEN = join(import.meta.dirname, '../../fixtures/wire/chat')

/** What must stand on the page in the end: how it ended, the words, and everything else in its order. */
const SHOWN: Record<string, [status: Answer['status'], end: string, text: string, others?: string[]]> = {
  'approval.sse': ['done', 'interrupted', 'May I?', ['pay approval']],
  'client-tool.sse': ['done', 'interrupted', '', ['locate client']],
  'empty.sse': ['done', 'complete', ''],
  'max-tokens.sse': ['done', 'max_tokens', 'One, two, thr'],
  'plain.sse': ['done', 'complete', 'Hello, "world"\n'],
  'provider-error.sse': ['error', 'model_stream_cut', 'It was a dark'],
  'provider-error-in-call.sse': ['error', 'model_unavailable', 'I look.', ['weather stopped']],
  'reasoning.sse': ['done', 'complete', 'Four.', ['reasoning']],
  'refusal.sse': ['done', 'refusal', 'I cannot'],
  'retry.sse': ['done', 'complete', 'Second try.', ['reasoning']],
  'state.sse': ['done', 'complete', 'Done.', ['plan done', 'custom', 'custom', 'custom']],
  'stop.sse': ['done', 'cancelled', 'Half an answer', ['weather stopped']],
  'tool-error.sse': ['done', 'complete', 'It sank.', ['weather failed']],
  'two-tools.sse': ['done', 'complete', 'I look.\n\nRome is warmer.', ['weather done', 'weather done']],
  'unicode.sse': ['done', 'complete', 'Gr\u00fc\u00dfe \ud83d\udc69\u200d\ud83d\ude80 und e\u0301\u2028\u0000\r\n\u65e5\u672c\u8a9e \u202e'],
}

describe('the golden transcripts', () => {
  const names = readdirSync(GOLDEN)
  it('are there', () => expect(names).toEqual(expect.arrayContaining(Object.keys(SHOWN))))

  it.each(names)('%s gives the same answer in pieces of every size', async (name) => {
    const shown = SHOWN[name]
    const transcript = readFileSync(join(GOLDEN, name), 'utf8')
    for (const size of SIZES) {
      const events = await eventsOf(transcript, size)
      // Everything that the server writes is understood, and exactly the last event ends the answer.
      expect(events).toHaveLength(transcript.split('\n\n').filter((frame) => /^data:/m.test(frame)).length)
      expect(events.findIndex((e) => e.type === 'done' || e.type === 'error')).toBe(events.length - 1)
      expect(fold(events.slice(0, -1)).status).toBe('running')
      const answer = fold(events)
      expect(answer.status).not.toBe('running')
      if (!shown) continue
      const [status, end, text, others = []] = shown
      expect([answer.status, answer.outcome ?? answer.error?.code, answerText(answer)]).toEqual([status, end, text])
      expect(answer.parts.flatMap((p) => (p.type === 'text' ? [] : [p.type === 'tool' ? `${p.name} ${p.state}` : p.type]))).toEqual(others)
    }
  })
})
