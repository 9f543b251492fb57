import { render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import axe from 'axe-core'
import { beforeEach, expect, it, vi } from 'vitest'
import Chat from '../src/Chat'
import { ApiKey } from '../src/auth'
import type { Config } from '../src/api/types'
import { I18n } from '../src/i18n'
import { problem, stream, wire } from './support'

const config: Config = {
  version: '1',
  agent: { name: 'Ada', greeting: 'Hello there.', suggestions: ['Try this'] },
  auth: { type: 'api_key' },
  api_base: '/base',
  model: { id: 'm', name: 'M', demo: true, note: 'A demonstration model.', installed: true },
  attachments: { images: false, documents: false, max_bytes: 1000 },
  limits: { message_bytes: 1000 },
  sessions: true,
}
interface Request {
  method: string
  path: string
  token: string | null
  body: Record<string, unknown>
}
let requests: Request[] = []
let chat: (request: Request) => Response
let session: object | undefined

beforeEach(() => {
  requests = []
  session = undefined
  localStorage.clear()
  sessionStorage.clear()
  history.replaceState(null, '', '/')
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const path = url.replace(/^\/base/, '')
    const request = { method: init.method ?? 'GET', path, token: new Headers(init.headers).get('authorization'), body: init.body ? JSON.parse(String(init.body)) : {} }
    requests.push(request)
    if (request.token !== 'Bearer right') return problem(401, 'unauthorized')
    if (path.startsWith('/sessions?')) return Response.json({ sessions: [] })
    if (path.startsWith('/sessions/')) return session ? Response.json(session) : problem(404, 'not_found')
    return chat(request)
  })
})

const answer = (text: string, at = 0) =>
  stream(wire([['metadata', { session_id: 's', run_id: 'r', history_length: at }], ['tool_start', { id: 't', name: 'query_metrics' }], ['tool_call', { id: 't', name: 'query_metrics', input: { period: '1h' } }], ['tool_result', { id: 't', name: 'query_metrics', output: { p95: 1 }, is_error: false, duration_ms: 40 }], ['', { text }], ['done', { outcome: 'complete', message_count: at + 4 }]]))

const show = (changes: Partial<Config> = {}) => {
  const auth = new ApiKey()
  auth.use('right')
  return render(<Chat config={{ ...config, ...changes }} auth={auth} />)
}
const box = () => screen.findByRole('textbox', { name: 'Message' })
/** On the page, not in what the screen reader hears. */
const said = (text: string) => screen.findByText(text, { ignore: '[role=log] *' })
const posts = () => requests.filter((r) => r.path === '/chat').map((r) => r.body)

it('asks, shows the tool and the answer, regenerates in place and keeps both versions', async () => {
  const user = userEvent.setup()
  chat = () => answer('It is **fine**.')
  show()
  await user.type(await box(), 'how is it?{Enter}')
  expect((await said('fine')).tagName).toBe('STRONG')
  expect(screen.getByText('Query metrics')).toBeInTheDocument()
  expect(posts()[0]).toMatchObject({ message: 'how is it?', events: 'all' })
  expect(posts()[0]).not.toHaveProperty('history_length')
  expect(location.pathname).toBe(`/c/${String(posts()[0]?.session_id)}`)

  chat = () => answer('Second answer.')
  await user.click(await screen.findByRole('button', { name: 'Regenerate answer' }))
  expect(await said('Second answer.')).toBeInTheDocument()
  expect(posts()[1]).toMatchObject({ message: 'how is it?', history_length: 0, session_id: posts()[0]?.session_id })
  expect(posts()[1]?.run_id).not.toBe(posts()[0]?.run_id)
  await user.click(await screen.findByRole('button', { name: 'Previous version' }))
  expect(await said('fine')).toBeInTheDocument()
  await user.click(screen.getByRole('button', { name: 'Back to the latest' }))
  expect(await said('Second answer.')).toBeInTheDocument()
})

it('says what a refusal means, keeps the message, and sends it as a new one on trying again', async () => {
  const user = userEvent.setup()
  chat = () => problem(503, 'model_not_installed')
  show()
  await user.type(await box(), 'hello{Enter}')
  expect(await screen.findByRole('alert')).toHaveTextContent('The built-in model is not installed.')
  chat = () => answer('There.')
  await user.click(screen.getByRole('button', { name: 'Try again' }))
  expect(await said('There.')).toBeInTheDocument()
  expect(screen.queryByRole('alert')).toBeNull()
  expect(posts()[1]).not.toHaveProperty('history_length')
})

it('gives the message back when another answer is under way, and joins that one', async () => {
  const user = userEvent.setup()
  chat = (request) => {
    if (request.method === 'GET') return answer('The other answer.')
    session = { session_id: 's', title: 'T', messages: [{ role: 'user', content: [{ text: 'from elsewhere' }] }], run: { id: 'other' } }
    return problem(409, 'session_busy', { run_id: 'other' })
  }
  show({ attachments: { images: false, documents: true, max_bytes: 1000 } })
  await box()
  await user.upload(document.querySelector('input[type=file]') as HTMLInputElement, new File(['x'], 'notes.txt', { type: 'text/plain' }))
  await screen.findByRole('button', { name: 'Remove notes.txt' })
  await user.type(await box(), 'mine{Enter}')
  expect(await said('The other answer.')).toBeInTheDocument()
  expect(screen.getByText('from elsewhere')).toBeInTheDocument()
  expect(await box()).toHaveValue('mine')
  expect(screen.getByRole('button', { name: 'Remove notes.txt' })).toBeInTheDocument()
  expect(requests.some((r) => r.path === '/runs/other/events?after=0&events=all')).toBe(true)
})

it('sends again, after a reload, what had not been answered', async () => {
  localStorage.setItem('outbox:s7', JSON.stringify({ runId: 'r7', at: Date.now(), body: { message: 'unsent', session_id: 's7', run_id: 'r7', events: 'all' } }))
  history.replaceState(null, '', '/c/s7')
  chat = () => answer('At last.')
  show()
  expect(await said('At last.')).toBeInTheDocument()
  expect(posts()).toMatchObject([{ message: 'unsent', run_id: 'r7' }])
  expect(localStorage.getItem('outbox:s7')).toBeNull()
})

it('asks before it runs what needs approval, and says exactly what', async () => {
  const user = userEvent.setup()
  chat = (request) => {
    if (!request.path.endsWith('/approvals')) return stream(wire([['metadata', { session_id: 's', run_id: 'r', history_length: 0 }], ['tool_start', { id: 't', name: 'restart_service' }], ['approval', { id: 't', name: 'restart_service', input: { name: 'worker' }, reason: 'Risky.' }], ['done', { outcome: 'interrupted', message_count: 2 }]]))
    return stream(wire([['metadata', { session_id: 's', run_id: 'r2', continues: 'r' }], ['tool_result', { id: 't', name: 'restart_service', output: 'ok', is_error: false, duration_ms: 9 }], ['', { text: 'Restarted.' }], ['done', { outcome: 'complete', message_count: 4 }]]))
  }
  show()
  await user.type(await box(), 'restart{Enter}')
  const card = await screen.findByRole('group', { name: 'Needs approval' })
  expect(card).toHaveTextContent('restart_service')
  expect(card).toHaveTextContent('"name": "worker"')
  await user.click(within(card).getByRole('button', { name: 'Allow restart_service' }))
  expect(await said('Restarted.')).toBeInTheDocument()
  const approvals = requests.find((r) => r.path.endsWith('/approvals'))
  expect(approvals?.body).toMatchObject({ approvals: [{ id: 't', approved: true }], events: 'all' })
})

it('takes no decision any more once the time for it is over', async () => {
  const expires_at = new Date(Date.now() + 3000).toISOString()
  chat = () => stream(wire([['metadata', { session_id: 's', run_id: 'r', history_length: 0 }], ['tool_start', { id: 't', name: 'restart_service' }], ['approval', { id: 't', name: 'restart_service', input: {}, expires_at }], ['done', { outcome: 'interrupted', message_count: 2 }]]))
  show()
  await userEvent.type(await box(), 'restart{Enter}')
  const card = await screen.findByRole('group', { name: 'Needs approval' })
  const [allow, deny] = within(card).getAllByRole('button')
  expect(allow).toBeEnabled()
  expect(deny).toBeEnabled()
  expect(card).toHaveTextContent('Until')
  await waitFor(() => expect(allow).toBeDisabled(), { timeout: 10_000 })
  expect(deny).toBeDisabled()
  expect(within(card).getByRole('status')).toHaveTextContent('The time to decide is over')
  expect(card).not.toHaveTextContent('Until')
  await userEvent.click(allow!)
  expect(requests.filter((r) => r.path.endsWith('/approvals'))).toEqual([])
}, 15_000)

it('works with a server that keeps nothing', async () => {
  const user = userEvent.setup()
  chat = () => answer('One.')
  show({ sessions: false })
  await user.type(await box(), 'first{Enter}')
  await said('One.')
  chat = () => answer('Two.')
  await user.type(await box(), 'second{Enter}')
  await said('Two.')
  chat = () => answer('Three.')
  await user.click((await screen.findAllByRole('button', { name: 'Regenerate answer' })).at(-1) as HTMLElement)
  await said('Three.')
  expect(await said('One.')).toBeInTheDocument()
  expect(screen.queryByRole('navigation')).toBeNull()
  expect(posts().map((p) => p.history_length)).toEqual([undefined, undefined, undefined])
  expect(requests.some((r) => r.path.startsWith(`/sessions/${String(posts()[0]?.session_id)}`))).toBe(false)
})

it('keeps drafts', async () => {
  const user = userEvent.setup()
  const { unmount } = show()
  await user.type(await box(), 'half a thought')
  unmount()
  show()
  expect(await box()).toHaveValue('half a thought')
})

it('says that the model is a demonstration, and has no accessibility fault that a DOM without layout can show', async () => {
  const { container } = show()
  await waitFor(() => screen.getByText('No conversations yet.'))
  expect(screen.getByText('A demonstration model.')).toBeInTheDocument()
  const { violations } = await axe.run(container, { rules: { 'color-contrast': { enabled: false } } })
  expect(violations.map((v) => v.id)).toEqual([])
})

it('says in the reader’s language what went wrong, before the server’s own words', async () => {
  const user = userEvent.setup()
  localStorage.setItem('language', 'de')
  chat = () => stream(wire([['metadata', { session_id: 's', run_id: 'r', history_length: 0 }], ['error', { error: 'Nothing listens at 127.0.0.1:1.', code: 'model_unavailable', retryable: true }]]))
  const auth = new ApiKey()
  auth.use('right')
  render(<I18n><Chat config={config} auth={auth} /></I18n>)
  await user.type(await screen.findByRole('textbox', { name: 'Nachricht' }), 'hallo{Enter}')
  const alert = await screen.findByRole('alert')
  expect(alert).toHaveTextContent('Das Modell antwortet nicht.')
  expect(within(alert).getByText('Nothing listens at 127.0.0.1:1.')).toHaveAttribute('lang', 'en')
})
