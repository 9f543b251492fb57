/** Stored messages and branches into turns and versions. Pure, and together with `events.ts` all that knows wire names here. */
import type { StoredBranch, StoredContent, StoredMessage, StoredMetadata, StoredSession } from '../api/types'
import { emptyAnswer, type Answer, type Part, type ToolPart } from './reducer'

export interface Attachment {
  name: string
  mediaType: string
  /** Base64; absent when the server did not hand it back. */
  data?: string
}

/** One question and its answer, however many stored messages that takes. */
export interface Turn {
  key: string
  /** Number of stored messages before this turn: what `history_length` has to be to replace it. */
  at: number
  runId?: string
  text: string
  attachments: Attachment[]
  createdAt?: string
  answer: Answer
  answeredAt?: string
  feedback?: 'up' | 'down'
  /** The server refused the message, so it is nowhere but here. */
  unsent?: { replaceAt?: number }
}

/** A line of turns that was replaced from message `at` on. */
export interface Branch {
  at: number
  turns: Turn[]
}

const MEDIA: Record<string, string> = {
  png: 'image/png', jpeg: 'image/jpeg', jpg: 'image/jpeg', gif: 'image/gif', webp: 'image/webp',
  pdf: 'application/pdf', csv: 'text/csv', txt: 'text/plain', md: 'text/markdown', html: 'text/html',
}

const attachmentOf = (c: StoredContent): Attachment[] => {
  if (c.image) return [{ name: `image.${c.image.format}`, mediaType: MEDIA[c.image.format] ?? 'image/png', data: c.image.source?.bytes }]
  if (c.document) {
    const mediaType = MEDIA[c.document.format] ?? 'application/octet-stream'
    return [{ name: c.document.name, mediaType, data: c.document.source?.bytes }]
  }
  return []
}

const isQuestion = (m: StoredMessage): boolean => m.role === 'user' && m.content.some((c) => c.toolResult === undefined)

const outputOf = (content: NonNullable<StoredContent['toolResult']>['content'] = []): unknown => {
  const values = content.map((c) => c.text ?? c.json ?? (c.image ? `[image/${c.image.format}]` : ''))
  if (values.length === 1) return values[0]
  return values.every((v) => typeof v === 'string') ? values.join('\n') : values
}

const feedbackOf = (m: StoredMetadata | undefined): Turn['feedback'] =>
  typeof m?.feedback === 'object' ? m.feedback.rating : m?.feedback

const errorOf = (error: StoredMetadata['error']): Answer['error'] => {
  if (error === undefined) return undefined
  if (typeof error === 'string') return { message: error, retryable: true }
  return { message: error.message ?? '', code: error.code, retryable: error.retryable ?? true }
}

/**
 * The answer out of what was stored after the question. `live`: the run goes on, so nothing is final yet. `pending`: its
 * open calls can still be decided; where nothing is pending (any more) they will never end.
 */
const answerOf = (messages: StoredMessage[], question: StoredMessage, live: boolean, pending: StoredSession['pending']): Answer => {
  const parts: Part[] = []
  for (const m of messages)
    for (const c of m.content) {
      if (c.text !== undefined && m.role === 'assistant') parts.push({ type: 'text', text: c.text })
      const thought = c.reasoningContent?.reasoningText?.text
      if (thought) parts.push({ type: 'reasoning', text: thought })
      if (c.toolUse) {
        const { toolUseId: id, name, input } = c.toolUse
        parts.push({ type: 'tool', id, name, input, inputText: JSON.stringify(input ?? {}), state: 'running' })
      }
      if (c.toolResult) {
        const { toolUseId, status, content } = c.toolResult
        const call = parts.findLast((p): p is ToolPart => p.type === 'tool' && p.id === toolUseId)
        if (call) Object.assign(call, { output: outputOf(content), state: status === 'error' ? 'failed' : 'done' })
      }
    }
  const ends = [question, ...messages].map((m) => m.metadata)
  const last = <K extends keyof StoredMetadata>(key: K) => ends.findLast((m) => m?.[key] !== undefined)?.[key]
  const answer: Answer = { ...emptyAnswer(), parts, callStart: parts.length, model: last('model'), usage: last('usage') }
  if (live) return answer
  const outcome = last('outcome')
  const error = errorOf(last('error'))
  const open = outcome === 'interrupted' && pending ? 'approval' : 'stopped'
  answer.parts = parts.map((p) =>
    p.type === 'tool' && p.state === 'running' ? { ...p, state: open, ...(open === 'approval' && { approval: { expiresAt: pending?.expires_at } }) } : p,
  )
  if (error || outcome === 'error' || outcome === 'failed')
    return { ...answer, status: 'error', outcome, error: error ?? { message: '', retryable: true } }
  // A question without an answer and without an outcome was cut off before the server could say so.
  if (messages.length === 0 && outcome === undefined)
    return { ...answer, status: 'error', error: { message: '', code: 'no_answer', retryable: true } }
  return { ...answer, status: 'done', outcome: outcome ?? 'complete' }
}

interface Now {
  /** The run that goes on with the last turn. */
  liveRun?: string
  /** What the last turn waits for. */
  pending?: StoredSession['pending']
}

/** `base`: how many stored messages precede these. */
export function turnsOf(messages: StoredMessage[], base = 0, { liveRun, pending }: Now = {}): Turn[] {
  const starts = messages.flatMap((m, i) => (isQuestion(m) ? [i] : []))
  return starts.map((start, n) => {
    const end = starts[n + 1] ?? messages.length
    const question = messages[start] as StoredMessage
    const rest = messages.slice(start + 1, end)
    const all = [question, ...rest]
    const isLast = n === starts.length - 1
    const live = liveRun !== undefined && isLast
    const runId = live ? liveRun : all.findLast((m) => m.metadata?.run_id)?.metadata?.run_id
    return {
      key: question.metadata?.run_id ?? `at-${base + start}-${question.metadata?.created_at ?? ''}`,
      at: base + start,
      runId,
      text: question.content.flatMap((c) => (c.text === undefined ? [] : [c.text])).join('\n'),
      attachments: question.content.flatMap(attachmentOf),
      createdAt: question.metadata?.created_at,
      answer: answerOf(rest, question, live, isLast ? pending : undefined),
      answeredAt: rest.at(-1)?.metadata?.created_at,
      feedback: feedbackOf(all.findLast((m) => feedbackOf(m.metadata))?.metadata),
    }
  })
}

export const branchesOf = (branches: StoredBranch[] = []): Branch[] =>
  [...branches]
    .sort((a, b) => a.replaced_at.localeCompare(b.replaced_at))
    .map((b) => ({ at: b.at, turns: turnsOf(b.messages, b.at) }))

export const sessionTurns = (s: StoredSession): Turn[] => turnsOf(s.messages, 0, { liveRun: s.run?.id, pending: s.pending })

/**
 * Every line that the conversation has had, oldest first; the last is the current one. A branch keeps only what was
 * replaced, so each line is its successor up to the fork, then the branch.
 */
export function linesOf(turns: Turn[], branches: Branch[]): Turn[][] {
  const lines = [turns]
  for (const branch of [...branches].reverse()) {
    const next = lines[0] as Turn[]
    lines.unshift([...next.filter((t) => t.at < branch.at), ...branch.turns])
  }
  return lines
}

/**
 * The versions of the turn at message `at`, seen from line `viewed`: for each the line to show. Two lines share what
 * precedes the smallest fork between them, so they differ exactly at `at` when that fork is there.
 */
export function versionsAt(at: number, branches: Branch[], viewed: number): number[] {
  const fork = (i: number, j: number) => {
    const [from, to] = i < j ? [i, j] : [j, i]
    return Math.min(Infinity, ...branches.slice(from, to).map((b) => b.at))
  }
  const versions: number[] = []
  for (let line = 0; line <= branches.length; line++) {
    if (line !== viewed && fork(line, viewed) < at) continue // a different past
    const same = versions.findIndex((v) => fork(v, line) > at)
    if (same < 0) versions.push(line)
    // Of the lines with the same version the one being looked at stands for it, else the newest.
    else if (versions[same] !== viewed) versions[same] = line
  }
  return versions
}
