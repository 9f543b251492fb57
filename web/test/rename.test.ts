/** A new title against lists that were asked for before it. */
import { expect, it, vi } from 'vitest'
import type { Api } from '../src/api/transport'
import type { SessionSummary } from '../src/api/types'
import { Sessions } from '../src/chat/sessions'

const summary = (title: string): SessionSummary => ({ session_id: 'one', title, created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z', message_count: 2 })

it('a list that was on its way does not bring the old title back', async () => {
  let stored = 'about loquats'
  const answers: (() => void)[] = []
  const api = {
    sessions: (_query: string, _cursor: string | undefined, signal: AbortSignal) => {
      const page = { sessions: [summary(stored)] }
      return new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')))
        answers.push(() => resolve(page))
      })
    },
    rename: (_id: string, title: string) => Promise.resolve(void (stored = title)),
  } as unknown as Api
  const sessions = new Sessions(api)
  sessions.mention('one', 'about loquats')
  sessions.refresh(0)
  await vi.waitFor(() => expect(answers).toHaveLength(1))
  await sessions.rename('one', 'Fruit')
  answers[0]?.() // too late
  await vi.waitFor(() => expect(answers).toHaveLength(2))
  expect(sessions.snapshot().items[0]?.title).toBe('Fruit')
  answers[1]?.()
  await vi.waitFor(() => expect(sessions.snapshot().phase).toBe('ready'))
  expect(sessions.snapshot().items[0]?.title).toBe('Fruit')
})
