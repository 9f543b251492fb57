import { describe, expect, it } from 'vitest'
import type { ChatEvent } from '../src/chat/events'
import { answerText, emptyAnswer, pendingApprovals, reduce, type Answer } from '../src/chat/reducer'
import { eventsOf, wire } from './support'

const fold = (events: ChatEvent[], from: Answer = emptyAnswer()): Answer => events.reduce(reduce, from)
const check = async (events: [string, unknown][]): Promise<Answer> => fold(await eventsOf(wire(events)))
const usage = { step: 1, model: 'm', input_tokens: 10, output_tokens: 5, stop_reason: 'end_turn' }

describe('an answer', () => {
  it('joins text and reasoning, and keeps tool calls in their place', async () => {
    const answer = await check([
      ['metadata', { session_id: 's', run_id: 'r', model: 'm' }],
      ['reasoning', { reasoning: 'h' }],
      ['reasoning', { reasoning: 'm' }],
      ['', { text: 'Let me look. ' }],
      ['tool_start', { id: '1', name: 'q' }],
      ['tool_input', { id: '1', delta: '{"a":' }],
      ['tool_input', { id: '1', delta: '1}' }],
      ['usage', usage],
      ['tool_call', { id: '1', name: 'q', input: { a: 1 } }],
      ['tool_progress', { id: '1', message: 'half', progress: 1, total: 2 }],
      ['tool_result', { id: '1', name: 'q', output: { ok: true }, is_error: false, duration_ms: 5 }],
      ['', { text: 'a' }],
      ['', { text: 'b' }],
      ['usage', { ...usage, step: 2 }],
      ['done', { outcome: 'complete', message_count: 4 }],
    ])
    expect(answer.parts).toEqual([
      { type: 'reasoning', text: 'hm' },
      { type: 'text', text: 'Let me look. ' },
      { type: 'tool', id: '1', name: 'q', inputText: '{"a":1}', input: { a: 1 }, state: 'done', progress: undefined, output: { ok: true }, durationMs: 5 },
      { type: 'text', text: 'ab' },
    ])
    expect(answer).toMatchObject({ status: 'done', outcome: 'complete', model: 'm', usage: { input_tokens: 20, output_tokens: 10 } })
    expect(answerText(answer)).toBe('Let me look. \n\nab')
  })

  it('takes back the current model call on reset, and nothing before it', async () => {
    const answer = await check([
      ['', { text: 'kept' }],
      ['usage', usage],
      ['tool_call', { id: '1', name: 'q', input: {} }],
      ['tool_result', { id: '1', name: 'q', output: 'x', is_error: false, duration_ms: 1 }],
      ['reasoning', { reasoning: 'gone' }],
      ['', { text: 'gone' }],
      ['tool_start', { id: '2', name: 'gone' }],
      ['reset', { reason: 'the stream was cut' }],
      ['', { text: 'again' }],
      ['done', { outcome: 'complete', message_count: 4 }],
    ])
    expect(answer.parts.map((p) => (p.type === 'tool' ? p.id : p.type === 'custom' ? p.name : p.text))).toEqual(['kept', '1', 'again'])
  })

  it('does not join text across a model call, where a reset could not take it back', async () => {
    const answer = await check([
      ['', { text: 'first' }],
      ['usage', usage],
      ['', { text: 'second' }],
      ['reset', { reason: 'x' }],
    ])
    expect(answer.parts).toEqual([{ type: 'text', text: 'first' }])
  })

  it('is not finished by a stream that stops', async () => {
    expect((await check([['', { text: 'half' }]])).status).toBe('running')
  })

  it('stops the calls that an error leaves open, and keeps the text', async () => {
    const answer = await check([
      ['', { text: 'so far' }],
      ['tool_call', { id: '1', name: 'q', input: {} }],
      ['error', { error: 'Overloaded.', code: 'overloaded', retryable: true }],
    ])
    expect(answer).toMatchObject({ status: 'error', error: { message: 'Overloaded.', code: 'overloaded', retryable: true } })
    expect(answer.parts).toMatchObject([{ text: 'so far' }, { state: 'stopped' }])
  })

  it('waits for approvals, and goes on where it waited', async () => {
    const answer = await check([
      ['tool_start', { id: '1', name: 'restart' }],
      ['approval', { id: '1', name: 'restart', input: { n: 1 }, reason: 'risky' }],
      ['done', { outcome: 'interrupted', message_count: 2 }],
    ])
    expect(pendingApprovals(answer)).toMatchObject([{ id: '1', input: { n: 1 }, approval: { reason: 'risky' } }])
    const going: Answer = { ...answer, status: 'running', callStart: answer.parts.length }
    const next = fold(await eventsOf(wire([['tool_result', { id: '1', name: 'restart', output: 'ok', is_error: false, duration_ms: 3 }], ['', { text: 'Done.' }], ['done', { outcome: 'complete', message_count: 4 }]])), going)
    expect(next.parts).toMatchObject([{ id: '1', state: 'done', output: 'ok' }, { text: 'Done.' }])
    expect(pendingApprovals(next)).toEqual([])
  })

  it('keeps what a tool sent by its own name', async () => {
    expect((await check([['custom', { name: 'chart', data: [1, 2] }]])).parts).toEqual([{ type: 'custom', name: 'chart', data: [1, 2] }])
  })
})
