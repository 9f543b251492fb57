/** What becomes of turns that are on the page when their conversation is read again. */
import type { ChatEvent } from './events'
import type { Turn } from './history'
import { answerText, reduce, type Answer } from './reducer'

/**
 * Turns keep their keys when they are read again, so that nothing on the page starts anew; and where nothing has
 * changed, all of themselves: what was seen live (how long a tool took) is more than what is stored.
 */
export const sameKeys = (turns: Turn[], known: Turn[] = []): Turn[] =>
  turns.map((turn) => {
    const before = known.find((k) => k.at === turn.at && k.text === turn.text)
    if (!before) return turn
    const [a, b] = [before.answer, turn.answer]
    const same = a.status === b.status && a.status !== 'running' && a.outcome === b.outcome && a.parts.length === b.parts.length && answerText(a) === answerText(b)
    return same ? before : { ...turn, key: before.key }
  })

/** A turn whose run is nowhere any more: what was shown, and that it is not all. Is it to be stored, it has to be sent again. */
export const abandoned = (turn: Turn, keepsSessions: boolean): Turn => {
  if (turn.answer.status !== 'running') return turn
  const unsent = turn.unsent ?? (keepsSessions ? {} : undefined)
  return { ...turn, unsent, answer: reduce(turn.answer, { type: 'error', error: '', code: 'run_gone', retryable: true }) }
}

/** What an event says of a call that waits, without anything of the rest of the run. */
export const keepStatus = (answer: Answer, event: ChatEvent & { type: 'approval' | 'client_tool' }): Pick<Answer, 'parts'> => ({
  parts: answer.parts.map((p) => {
    if (p.type !== 'tool' || p.id !== event.id || p.state !== 'approval') return p
    if (event.type === 'client_tool') return { ...p, state: 'client', approval: undefined }
    return { ...p, approval: { ...p.approval, reason: event.reason, expiresAt: event.expiresAt ?? p.approval?.expiresAt } }
  }),
})
