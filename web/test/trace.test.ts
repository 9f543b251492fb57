import { expect, it } from 'vitest'
import { figures, record, Traces } from '../src/chat/trace'

it('reads first-token time, speed and tool spans off the frames', () => {
  const trace = new Traces().begin('r', false)
  trace.startedAt = 0
  const at = (ms: number, event: string, data: object) => record(trace, { event, raw: JSON.stringify(data), at: ms })
  at(50, 'metadata', { session_id: 's' })
  at(200, 'message', { text: 'a' })
  at(300, 'tool_start', { id: '1', name: 'q' })
  at(900, 'tool_result', { id: '1', output: 1, is_error: true })
  at(1000, 'message', { text: 'b' })
  at(1200, 'message', { text: 'c' })
  at(1250, 'usage', { output_tokens: 100 })
  at(1300, 'done', { outcome: 'complete' })
  expect(figures(trace)).toEqual({
    firstTokenMs: 200,
    totalMs: 1300,
    tokens: 100,
    tokensPerSecond: 100,
    spans: [
      { label: 'text', kind: 'text', from: 200, to: 200 },
      { label: 'q', kind: 'failed', from: 300, to: 900 },
      { label: 'text', kind: 'text', from: 1000, to: 1200 },
    ],
  })
})
