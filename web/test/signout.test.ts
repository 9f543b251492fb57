/** What the page does for somebody who has signed out: nothing. */
import { afterEach, expect, it, vi } from 'vitest'
import { Api } from '../src/api/transport'
import { Sessions } from '../src/chat/sessions'
import { ChatStore } from '../src/chat/store'
import { nobody } from './support'

afterEach(() => vi.restoreAllMocks())

const row = { session_id: 'one', title: 'One', created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z', message_count: 2 }

it('deletes what was deleted, then asks for nothing more, and keeps nothing of the reader', async () => {
  let token: string | undefined = 'token'
  const asked: string[] = []
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
    const path = String(input)
    asked.push(`${init?.method} ${path} ${new Headers(init?.headers).get('authorization')}`)
    if (path === '/chat') return new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError'))))
    return init?.method === 'DELETE' ? new Response(null, { status: 204 }) : Response.json({ sessions: [row] })
  })
  const signInAgain = vi.fn(nobody.signInAgain)
  const api = new Api({ ...nobody, token: async () => token, signInAgain })
  const sessions = new Sessions(api)
  const store = new ChatStore({ api, keepsSessions: true, onListChange: () => sessions.refresh(), onMention: () => {} })
  sessions.refresh(0)
  await vi.waitFor(() => expect(sessions.snapshot().items).toHaveLength(1))
  store.send('two', 'a message that never arrived')
  await vi.waitFor(() => expect(asked).toContain('POST /chat Bearer token'))
  localStorage.setItem('draft:new', 'something private')
  localStorage.setItem('language', 'de')
  sessions.remove('one')
  sessions.refresh()

  await sessions.end()
  store.end()
  api.end()
  token = undefined
  expect(asked).toContain('DELETE /sessions/one Bearer token')
  expect(Object.keys(localStorage)).toEqual(['language'])

  const before = asked.length
  document.dispatchEvent(new Event('visibilitychange'))
  dispatchEvent(new Event('pagehide'))
  sessions.refresh(0)
  store.open('two')
  await new Promise((resolve) => setTimeout(resolve, 400))
  expect(asked.slice(before)).toEqual([])
  expect(Object.keys(localStorage)).toEqual(['language'])
  expect(signInAgain).not.toHaveBeenCalled()
})

it('an answer that comes too late is heard by nobody', async () => {
  let refuse = () => {}
  vi.spyOn(globalThis, 'fetch').mockImplementation(() => new Promise((resolve) => (refuse = () => resolve(Response.json({}, { status: 401 })))))
  const signInAgain = vi.fn(nobody.signInAgain)
  const renew = vi.fn(nobody.renew)
  const api = new Api({ ...nobody, renew, signInAgain })
  const heard = vi.fn()
  api.facts().then(heard, heard)
  await vi.waitFor(() => expect(globalThis.fetch).toHaveBeenCalled())
  api.end()
  refuse()
  await new Promise((resolve) => setTimeout(resolve, 20))
  for (const call of [heard, renew, signInAgain]) expect(call).not.toHaveBeenCalled()
})
