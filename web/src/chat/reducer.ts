/** Folds the events of a run into the answer that is shown. Pure: no network, no clock, no DOM. */
import type { Usage } from '../api/types'
import type { ChatEvent } from './events'

/** `client`: another program, the one that asked, runs this tool and will say what came of it. */
export type ToolState = 'writing' | 'running' | 'approval' | 'client' | 'done' | 'failed' | 'stopped'

export interface TextPart {
  type: 'text'
  text: string
}
export interface ReasoningPart {
  type: 'reasoning'
  text: string
}
export interface ToolPart {
  type: 'tool'
  id: string
  name: string
  /** The input's JSON as far as it has been written. */
  inputText: string
  /** The input once it is whole. */
  input?: unknown
  state: ToolState
  progress?: { message?: string; progress?: number; total?: number }
  output?: unknown
  durationMs?: number
  /** Why the call waits, and what the reader has decided. */
  approval?: { reason?: string; expiresAt?: string; decision?: 'approved' | 'denied' }
}
export interface CustomPart {
  type: 'custom'
  name: string
  data: unknown
}
export type Part = TextPart | ReasoningPart | ToolPart | CustomPart

export interface Answer {
  status: 'running' | 'done' | 'error'
  parts: Part[]
  /** Where the current model call began in `parts`: what a `reset` takes back. */
  callStart: number
  outcome?: string
  error?: { message: string; code?: string; retryable: boolean; retryAfter?: number }
  model?: string
  usage?: Usage
}

export const emptyAnswer = (): Answer => ({ status: 'running', parts: [], callStart: 0 })

const append = (a: Answer, type: 'text' | 'reasoning', text: string): Answer => {
  if (text === '') return a
  const last = a.parts.at(-1)
  // Never into an earlier model call's part: a reset could not take it back.
  if (last?.type === type && a.parts.length > a.callStart)
    return { ...a, parts: [...a.parts.slice(0, -1), { type, text: last.text + text }] }
  return { ...a, parts: [...a.parts, { type, text }] }
}

/** Changes the newest call with this id; makes it first when its start was never seen. */
const tool = (a: Answer, id: string, name: string | undefined, change: (part: ToolPart) => ToolPart): Answer => {
  const at = a.parts.findLastIndex((p) => p.type === 'tool' && p.id === id)
  if (at < 0) {
    if (name === undefined) return a
    return { ...a, parts: [...a.parts, change({ type: 'tool', id, name, inputText: '', state: 'writing' })] }
  }
  return { ...a, parts: a.parts.map((p, i) => (i === at ? change(p as ToolPart) : p)) }
}

/** Calls that were under way when the run ended will never end. */
const settle = (parts: Part[], keepWaiting: boolean): Part[] =>
  parts.map((p) => {
    if (p.type !== 'tool') return p
    const waits = p.state === 'approval' || p.state === 'client'
    if (p.state === 'writing' || p.state === 'running' || (waits && !keepWaiting))
      return { ...p, state: 'stopped', progress: undefined }
    return p
  })

const add = (a: Usage | undefined, b: Usage): Usage => {
  const sum: Usage = { ...a }
  for (const [key, value] of Object.entries(b) as [keyof Usage, number][]) sum[key] = (sum[key] ?? 0) + value
  return sum
}

export function reduce(a: Answer, event: ChatEvent): Answer {
  switch (event.type) {
    case 'metadata':
      return event.model === undefined ? a : { ...a, model: event.model }
    case 'text':
    case 'reasoning':
      return append(a, event.type, event.text)
    case 'tool_start':
      return tool(a, event.id, event.name, (p) => p)
    case 'tool_input':
      return tool(a, event.id, undefined, (p) => ({ ...p, inputText: p.inputText + event.delta }))
    case 'tool_call':
      return tool(a, event.id, event.name, (p) => ({ ...p, input: event.input, state: 'running' }))
    case 'tool_progress': {
      const { message, progress, total } = event
      return tool(a, event.id, undefined, (p) => ({ ...p, progress: { message, progress, total } }))
    }
    case 'tool_result': {
      const { output, isError, durationMs } = event
      const state = isError ? 'failed' : 'done'
      const next = tool(a, event.id, event.name, (p) => ({ ...p, output, durationMs, state, progress: undefined }))
      return { ...next, callStart: next.parts.length }
    }
    case 'approval': {
      const { input, reason, expiresAt } = event
      return tool(a, event.id, event.name, (p) => ({ ...p, input, state: 'approval', approval: { reason, expiresAt } }))
    }
    case 'client_tool':
      return tool(a, event.id, event.name, (p) => ({ ...p, input: event.input, state: 'client', approval: undefined }))
    case 'reset':
      return { ...a, parts: a.parts.slice(0, a.callStart) }
    case 'usage':
      return { ...a, model: event.model ?? a.model, usage: add(a.usage, event.usage), callStart: a.parts.length }
    case 'custom':
      return { ...a, parts: [...a.parts, { type: 'custom', name: event.name, data: event.data }] }
    case 'continue':
      return a
    case 'error': {
      const { error: message, code, retryable } = event
      return { ...a, status: 'error', error: { message, code, retryable }, parts: settle(a.parts, false) }
    }
    case 'done':
      return {
        ...a,
        status: 'done',
        outcome: event.outcome,
        usage: a.usage ?? event.usage,
        parts: settle(a.parts, event.outcome === 'interrupted'),
      }
  }
}

/** What the answer says, without reasoning and tools: for copying and for the screen reader. */
export const answerText = (a: Answer): string =>
  a.parts.flatMap((p) => (p.type === 'text' ? [p.text] : [])).join('\n\n')

/** The result of a call that the reader refused is these words, with a reason or without. */
export const isRefused = (p: ToolPart): boolean => p.state === 'failed' && typeof p.output === 'string' && p.output.startsWith('The user did not allow this call')

/** The calls that wait for the reader's word. */
export const pendingApprovals = (a: Answer): ToolPart[] =>
  a.status === 'done' && a.outcome === 'interrupted'
    ? a.parts.filter((p): p is ToolPart => p.type === 'tool' && p.state === 'approval')
    : []
