/**
 * Answers that were cut off because the server died. The page asks for them anew by itself, once, where that can do no
 * harm. The new run's id is made from the lost one's: however many tabs and devices ask, the server takes it as one run,
 * and an id that says "again" is not asked for a second time, also not after a reload.
 */
import type { Turn } from './history'

const AGAIN = '-again'
const LONGEST_ID = 256
/** Nobody waits any more for what was asked longer ago, however early they closed the laptop. */
const MAX_AGE_MS = 24 * 60 * 60 * 1000
/** `no_answer`: as earlier versions stored it before the first word. `run_gone`: the server knows nothing of the run, and keeps none. */
const DIED = new Set(['run_lost', 'no_answer', 'run_gone'])

export const isAskedAnew = (turn: Turn): boolean => turn.runId?.endsWith(AGAIN) ?? false

/** The id under which the turn's question is to be asked anew. Undefined where that is for the reader to decide. */
export function anew(turn: Turn, now = Date.now()): string | undefined {
  const { runId, answer, attachments, createdAt } = turn
  if (runId === undefined || isAskedAnew(turn) || runId.length + AGAIN.length > LONGEST_ID) return undefined
  if (answer.status !== 'error' || !DIED.has(answer.error?.code ?? '')) return undefined
  if (!(now - Date.parse(createdAt ?? '') < MAX_AGE_MS)) return undefined
  // What a tool has done would be done again, and a file that the server did not hand back would be missing.
  if (answer.parts.some((p) => p.type === 'tool' || p.type === 'custom')) return undefined
  if (attachments.some((a) => a.data === undefined)) return undefined
  return runId + AGAIN
}
