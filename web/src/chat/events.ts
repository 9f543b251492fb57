/**
 * The events of a run as the page knows them, and their only translation from the `chat` dialect. The wire is taken as
 * hostile input: a frame that is not what it should be is skipped, as is an event that a newer server has invented.
 */
import type { Usage } from '../api/types'

export type ChatEvent =
  | { type: 'metadata'; sessionId: string; runId?: string; model?: string; historyLength?: number; continues?: string }
  | { type: 'text'; text: string }
  | { type: 'reasoning'; text: string }
  | { type: 'tool_start'; id: string; name: string }
  | { type: 'tool_input'; id: string; delta: string }
  | { type: 'tool_call'; id: string; name: string; input: unknown }
  | { type: 'tool_progress'; id: string; message?: string; progress?: number; total?: number }
  | { type: 'tool_result'; id: string; name?: string; output: unknown; isError: boolean; durationMs?: number }
  | { type: 'approval'; id: string; name: string; input: unknown; reason?: string; expiresAt?: string }
  | { type: 'client_tool'; id: string; name: string; input: unknown }
  | { type: 'reset'; reason?: string }
  | { type: 'usage'; model?: string; usage: Usage }
  | { type: 'custom'; name: string; data: unknown }
  | { type: 'continue' }
  | { type: 'error'; error: string; code?: string; retryable: boolean }
  | { type: 'done'; outcome: string; messageCount?: number; usage?: Usage }

type Fields = Record<string, unknown>
const text = (f: Fields, key: string): string | undefined => (typeof f[key] === 'string' ? (f[key] as string) : undefined)
const number = (f: Fields, key: string): number | undefined => (typeof f[key] === 'number' ? (f[key] as number) : undefined)

const USAGE = ['input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens', 'cost_usd'] as const
const usage = (value: unknown): Usage => {
  const f = (value ?? {}) as Fields
  return Object.fromEntries(USAGE.flatMap((key) => (number(f, key) === undefined ? [] : [[key, f[key]]])))
}

export function decode(frame: { event: string; raw: string }): ChatEvent | undefined {
  let f: Fields
  try {
    const value: unknown = JSON.parse(frame.raw)
    if (typeof value !== 'object' || value === null) return undefined
    f = value as Fields
  } catch {
    return undefined
  }
  const id = text(f, 'id')
  const name = text(f, 'name')
  switch (frame.event) {
    case 'message': {
      const piece = text(f, 'text')
      return piece === undefined ? undefined : { type: 'text', text: piece }
    }
    case 'metadata': {
      const sessionId = text(f, 'session_id')
      if (sessionId === undefined) return undefined
      return {
        type: 'metadata',
        sessionId,
        runId: text(f, 'run_id'),
        model: text(f, 'model'),
        historyLength: number(f, 'history_length'),
        continues: text(f, 'continues'),
      }
    }
    case 'reasoning': {
      const piece = text(f, 'reasoning')
      return piece === undefined ? undefined : { type: 'reasoning', text: piece }
    }
    case 'tool_start':
      return id !== undefined && name !== undefined ? { type: 'tool_start', id, name } : undefined
    case 'tool_input':
      return id === undefined ? undefined : { type: 'tool_input', id, delta: text(f, 'delta') ?? '' }
    case 'tool_call':
      return id !== undefined && name !== undefined ? { type: 'tool_call', id, name, input: f.input } : undefined
    case 'tool_progress':
      if (id === undefined) return undefined
      return { type: 'tool_progress', id, message: text(f, 'message'), progress: number(f, 'progress'), total: number(f, 'total') }
    case 'tool_result':
      if (id === undefined) return undefined
      return { type: 'tool_result', id, name, output: f.output, isError: f.is_error === true, durationMs: number(f, 'duration_ms') }
    case 'approval':
      if (id === undefined || name === undefined) return undefined
      return { type: 'approval', id, name, input: f.input, reason: text(f, 'reason'), expiresAt: text(f, 'expires_at') }
    case 'client_tool':
      return id !== undefined && name !== undefined ? { type: 'client_tool', id, name, input: f.input } : undefined
    case 'reset':
      return { type: 'reset', reason: text(f, 'reason') }
    case 'usage':
      return { type: 'usage', model: text(f, 'model'), usage: usage(f) }
    case 'custom':
      return name === undefined ? undefined : { type: 'custom', name, data: f.data }
    case 'continue':
      return { type: 'continue' }
    case 'error':
      return { type: 'error', error: text(f, 'error') ?? '', code: text(f, 'code'), retryable: f.retryable === true }
    case 'done':
      return {
        type: 'done',
        outcome: text(f, 'outcome') ?? 'complete',
        messageCount: number(f, 'message_count'),
        usage: f.usage === undefined ? undefined : usage(f.usage),
      }
    default:
      return undefined
  }
}
