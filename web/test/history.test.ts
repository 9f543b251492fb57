import { describe, expect, it } from 'vitest'
import type { StoredMessage, StoredSession } from '../src/api/types'
import { branchesOf, linesOf, sessionTurns, turnsOf, versionsAt } from '../src/chat/history'

const user = (text: string, metadata = {}): StoredMessage => ({ role: 'user', content: [{ text }], metadata })
const agent = (text: string, metadata = {}): StoredMessage => ({ role: 'assistant', content: [{ text }], metadata })

describe('stored messages', () => {
  it('make one turn of a question, its tool calls and its answer', () => {
    const turns = turnsOf([
      user('how is it?', { run_id: 'r1', created_at: '2026-11-23T10:00:00Z' }),
      { role: 'assistant', content: [{ reasoningContent: { reasoningText: { text: 'hm' } } }, { toolUse: { toolUseId: 't', name: 'q', input: { a: 1 } } }] },
      { role: 'user', content: [{ toolResult: { toolUseId: 't', status: 'success', content: [{ json: { ok: true } }] } }] },
      agent('It is fine.', { outcome: 'complete', model: 'm', usage: { input_tokens: 1 } }),
      user('thanks'),
      agent('Welcome.'),
    ])
    expect(turns.map((t) => [t.at, t.text])).toEqual([[0, 'how is it?'], [4, 'thanks']])
    expect(turns[0]).toMatchObject({ key: 'r1', runId: 'r1', answer: { status: 'done', model: 'm' } })
    expect(turns[0]?.answer.parts).toMatchObject([{ type: 'reasoning', text: 'hm' }, { type: 'tool', state: 'done', output: { ok: true } }, { type: 'text', text: 'It is fine.' }])
  })

  it('show a failed turn, a stopped one and a waiting one as what they are', () => {
    const [failed] = turnsOf([user('x', { outcome: 'failed', error: { message: 'Overloaded.', code: 'model_overloaded', retryable: true } })])
    expect(failed?.answer).toMatchObject({ status: 'error', error: { message: 'Overloaded.', code: 'model_overloaded' } })
    const [stopped] = turnsOf([user('x'), agent('so far', { outcome: 'cancelled' })])
    expect(stopped?.answer).toMatchObject({ status: 'done', outcome: 'cancelled' })
    const call = { role: 'assistant' as const, content: [{ toolUse: { toolUseId: 't', name: 'q', input: {} } }], metadata: { outcome: 'interrupted' } }
    const session = { messages: [user('x'), call, user('y'), call] } as StoredSession
    const states = (s: StoredSession) => sessionTurns(s).map((t) => t.answer.parts[0])
    const pending = { run_id: 'r', expires_at: '2026-11-24T10:00:00Z' }
    expect(states({ ...session, pending })).toMatchObject([{ state: 'stopped' }, { state: 'approval', approval: { expiresAt: pending.expires_at } }])
    // Nothing can be decided any more: the run that was to carry it out died.
    expect(states(session)).toMatchObject([{ state: 'stopped' }, { state: 'stopped' }])
    expect(turnsOf([user('x')])[0]?.answer).toMatchObject({ status: 'error', error: { code: 'no_answer' } })
  })

  it('leave the last turn running while its run is live', () => {
    const session = { messages: [user('a'), agent('b'), user('c')], run: { id: 'r9' } } as StoredSession
    expect(sessionTurns(session).at(-1)).toMatchObject({ runId: 'r9', answer: { status: 'running', parts: [] } })
  })

  it('keep attachments, so that an edited message can be sent with them again', () => {
    const [turn] = turnsOf([{ role: 'user', content: [{ text: 'see' }, { image: { format: 'png', source: { bytes: 'AAAA' } } }, { document: { format: 'pdf', name: 'r', source: { bytes: 'BBBB' } } }] }])
    expect(turn?.attachments).toEqual([{ name: 'image.png', mediaType: 'image/png', data: 'AAAA' }, { name: 'r', mediaType: 'application/pdf', data: 'BBBB' }])
  })
})

describe('versions', () => {
  // Three questions; the second was edited once, then the first was, then the (new) second was regenerated.
  const branches = branchesOf([
    { at: 2, messages: [user('b1'), agent('B1'), user('c1'), agent('C1')], replaced_at: '2026-01-01T00:00:01Z' },
    { at: 0, messages: [user('a1'), agent('A1'), user('b2'), agent('B2')], replaced_at: '2026-01-01T00:00:02Z' },
    { at: 2, messages: [user('b3'), agent('B3')], replaced_at: '2026-01-01T00:00:03Z' },
  ])
  const turns = turnsOf([user('a2'), agent('A2'), user('b3'), agent('B4')])
  const lines = linesOf(turns, branches)

  it('are whole lines again', () => {
    expect(lines.map((line) => line.map((t) => t.text))).toEqual([['a1', 'b1', 'c1'], ['a1', 'b2'], ['a2', 'b3'], ['a2', 'b3']])
  })
  it('offer, at each turn, what differs there and nowhere before', () => {
    expect(versionsAt(0, branches, 3)).toEqual([1, 3])
    expect(versionsAt(2, branches, 3)).toEqual([2, 3])
    expect(versionsAt(2, branches, 1)).toEqual([0, 1])
    expect(versionsAt(2, branches, 0)).toEqual([0, 1])
    expect(versionsAt(0, branches, 0)).toEqual([0, 3])
  })
  it('are one where nothing was replaced', () => {
    expect(versionsAt(4, branches, 0)).toEqual([0])
    expect(versionsAt(0, [], 0)).toEqual([0])
  })
})
