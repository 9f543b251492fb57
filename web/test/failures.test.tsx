/** Whatever was asked for and has not happened is said. */
import { render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { beforeEach, expect, it, vi } from 'vitest'
import Chat from '../src/Chat'
import { ApiKey } from '../src/auth'
import type { Config } from '../src/api/types'
import { UNDO_MS } from '../src/chat/sessions'
import { problem, stream, wire } from './support'

const config: Config = {
  version: '1',
  agent: { name: 'Ada', suggestions: [] },
  auth: { type: 'api_key' },
  api_base: '',
  model: { id: 'm', name: 'M', demo: false, installed: true },
  attachments: { images: false, documents: true, max_bytes: 1000 },
  limits: { message_bytes: 1000 },
  sessions: true,
}
const row = (id: string, title: string) => ({ session_id: id, title, created_at: new Date().toISOString(), updated_at: new Date().toISOString(), message_count: 2 })
const stored = {
  ...row('one', 'About fruit'),
  messages: [{ role: 'user', content: [{ text: 'what is it?' }] }, { role: 'assistant', content: [{ text: 'A fruit.' }], metadata: { run_id: 'r', outcome: 'complete' } }],
}
/** What the server refuses: the beginning of `METHOD path`. */
let refused: string[]
let asked: string[]

beforeEach(() => {
  refused = []
  asked = []
  localStorage.clear()
  history.replaceState(null, '', '/c/one')
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const call = `${init.method ?? 'GET'} ${url}`
    asked.push(call)
    if (refused.some((start) => call.startsWith(start))) return problem(500, 'internal')
    if (url.startsWith('/sessions?') && url.includes('cursor=')) return Response.json({ sessions: [row('three', 'An old one')] })
    if (url.startsWith('/sessions?')) return Response.json({ sessions: [row('one', 'About fruit'), row('two', 'Other')], next_cursor: 'c' })
    if (url.endsWith('/approvals')) return stream(wire([['metadata', { session_id: 'one', run_id: 'r2', continues: 'r' }], ['', { text: 'Restarted.' }], ['done', { outcome: 'complete', message_count: 4 }]]))
    if (url === '/chat')
      return stream(wire([['metadata', { session_id: 'one', run_id: 'r', history_length: 2 }], ['tool_start', { id: 't', name: 'restart' }], ['approval', { id: 't', name: 'restart', input: {} }], ['done', { outcome: 'interrupted', message_count: 4 }]]))
    return init.method === 'GET' ? Response.json(stored) : problem(404, 'not_found')
  })
})

const user = userEvent.setup()
const show = async () => {
  const auth = new ApiKey()
  auth.use('right')
  render(<Chat config={config} auth={auth} />)
  await screen.findByRole('link', { name: 'About fruit' })
}
const option = async (name: string) => {
  await user.click(screen.getByRole('button', { name: 'Options for About fruit' }))
  // Every conversation has a menu of its own; the first is that one's.
  await user.click(screen.getAllByRole('menuitem', { name })[0] as HTMLElement)
}
const said = (text: string) => screen.findByText(text)

it('a rename', async () => {
  refused = ['PATCH /sessions/one']
  await show()
  await option('Rename')
  const box = await screen.findByRole('textbox', { name: 'Conversation title' })
  await user.clear(box)
  await user.type(box, 'Loquats{Enter}')
  expect(await said('The conversation could not be renamed to “Loquats”.')).toBeInTheDocument()
  expect(screen.getByRole('link', { name: 'About fruit' })).toBeInTheDocument()
})

it('an export', async () => {
  refused = ['GET /sessions/one/export']
  await show()
  await option('Export as Markdown')
  expect(await said('“About fruit” could not be exported.')).toBeInTheDocument()
})

it('a deletion, whose conversation comes back', async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true })
  try {
    refused = ['DELETE /sessions/one']
    await show()
    await option('Delete')
    expect(screen.queryByRole('link', { name: 'About fruit' })).toBeNull()
    await vi.advanceTimersByTimeAsync(UNDO_MS)
    expect(await said('“About fruit” could not be deleted.')).toBeInTheDocument()
    expect(await screen.findByRole('link', { name: 'About fruit' })).toBeInTheDocument()
  } finally {
    vi.useRealTimers()
  }
})

it('the deletion of all', async () => {
  refused = ['DELETE /sessions']
  await show()
  await user.click(screen.getByRole('button', { name: 'Settings' }))
  await user.click(await screen.findByRole('menuitem', { name: 'Delete all conversations' }))
  await user.click(await screen.findByRole('button', { name: 'Delete' }))
  expect(await said('The conversations could not be deleted.')).toBeInTheDocument()
})

it('older conversations, which can be asked for again', async () => {
  refused = ['GET /sessions?limit=50&cursor=c']
  await show()
  const more = await screen.findByRole('button', { name: 'Show more' })
  await user.click(more)
  expect(await said('The list could not be loaded.')).toBeInTheDocument()
  refused = []
  await user.click(await screen.findByRole('button', { name: 'Show more' }))
  expect(await screen.findByRole('link', { name: 'An old one' })).toBeInTheDocument()
})

it('a search: what was listed before is not its result', async () => {
  refused = ['GET /sessions?limit=50&q=']
  await show()
  await user.type(screen.getByRole('searchbox'), 'pears')
  expect(await said('The list could not be loaded.')).toBeInTheDocument()
  expect(screen.queryByRole('link', { name: 'About fruit' })).toBeNull()
  refused = []
  await user.click(screen.getByRole('button', { name: 'Try again' }))
  expect(await screen.findByRole('link', { name: 'About fruit' })).toBeInTheDocument()
})

it('a rating', async () => {
  refused = ['POST /runs/r/feedback']
  await show()
  await user.click(await screen.findByRole('button', { name: 'Good answer' }))
  expect(await said('Your rating could not be sent.')).toBeInTheDocument()
  expect(screen.getByRole('button', { name: 'Good answer' })).toHaveAttribute('aria-pressed', 'false')
})

it('a decision, which can be made again', async () => {
  refused = ['POST /runs/r/approvals', 'POST /runs/']
  await show()
  await user.type(await screen.findByRole('textbox', { name: 'Message' }), 'restart{Enter}')
  const card = () => screen.findByRole('group', { name: 'Needs approval' })
  await user.click(within(await card()).getByRole('button', { name: 'Allow restart' }))
  expect(await said('Your decision did not arrive. Please decide again.')).toBeInTheDocument()
  refused = []
  await user.click(within(await card()).getByRole('button', { name: 'Allow restart' }))
  expect(await screen.findByText('Restarted.', { ignore: '[role=log] *' })).toBeInTheDocument()
  expect(asked.filter((call) => call.endsWith('/approvals'))).toHaveLength(2)
})

it('copying that the browser forbids', async () => {
  await show()
  const denied = vi.spyOn(navigator.clipboard, 'writeText').mockRejectedValue(new DOMException('denied', 'NotAllowedError'))
  await user.click((await screen.findAllByRole('button', { name: 'Copy message' }))[0] as HTMLElement)
  expect(await said('The browser did not allow copying.')).toBeInTheDocument()
  denied.mockRestore()
})

it('copying works without TLS too, where there is no clipboard for pages', async () => {
  await show()
  const own = Object.getOwnPropertyDescriptor(navigator, 'clipboard')
  Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })
  let copied = ''
  document.execCommand = (name) => ((copied = name === 'copy' ? (document.activeElement as HTMLTextAreaElement).value : ''), true)
  try {
    await user.click((await screen.findAllByRole('button', { name: 'Copy message' }))[0] as HTMLElement)
    expect(await screen.findByRole('button', { name: 'Copied' })).toBeInTheDocument()
    expect(copied).toBe('what is it?')
  } finally {
    if (own) Object.defineProperty(navigator, 'clipboard', own)
    else Reflect.deleteProperty(navigator, 'clipboard')
    Reflect.deleteProperty(document, 'execCommand')
  }
})

it('a file that cannot be read', async () => {
  await show()
  vi.spyOn(FileReader.prototype, 'readAsDataURL').mockImplementationOnce(function (this: FileReader) {
    this.onerror?.(new ProgressEvent('error') as ProgressEvent<FileReader>)
  })
  const picker = document.querySelector('input[type=file]') as HTMLInputElement
  await user.upload(picker, new File(['x'], 'notes.txt', { type: 'text/plain' }))
  expect(await said('notes.txt could not be read.')).toBeInTheDocument()
  await waitFor(() => expect(screen.queryByRole('button', { name: 'Remove notes.txt' })).toBeNull())
})
