// A stand-in for the server in development and for pictures: the HTTP contract, held in memory, with answers chosen by
// words in the message, or by the model at OPENAI_BASE_URL. Nothing of it is shipped.
// PORT (8080), DELAY_MS (14) between pieces, DEMO=1, NOT_INSTALLED=1, AGENT_NAME.
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import http from 'node:http'
import { extname, join, normalize, resolve } from 'node:path'
import { askModel } from './mock-model.mjs'
import { ANSWER, seedSessions } from './mock-texts.mjs'

const PORT = Number(process.env.PORT ?? 8080)
const DELAY = Number(process.env.DELAY_MS ?? 14)
const DIST = resolve(import.meta.dirname, '../dist')
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
const config = {
  version: '0.0.0-mock',
  agent: {
    name: process.env.AGENT_NAME ?? 'Loquat',
    greeting: 'What would you like to know?',
    suggestions: ['Check the latency of the agent', 'Explain how server-sent events work', 'Restart the worker service', 'Derive the quadratic formula'],
  },
  auth: { type: 'none', api_token: 'access', login: 'redirect' },
  api_base: '',
  model: {
    id: 'local/smollm2',
    name: 'SmolLM2 135M',
    demo: process.env.DEMO === '1',
    installed: process.env.NOT_INSTALLED !== '1',
    ...(process.env.DEMO === '1' && { note: 'A small demonstration model runs inside this program. Set MODEL_ID for a real one.' }),
    ...(process.env.NOT_INSTALLED === '1' && { note: 'loquat model install' }),
  },
  attachments: { images: true, documents: true, max_bytes: 5_000_000 },
  limits: { message_bytes: 200_000 },
  sessions: true,
}

const sessions = process.env.OPENAI_BASE_URL ? new Map() : seedSessions()
const runs = new Map()
const now = () => new Date().toISOString()
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
const readBody = async (req) => {
  const chunks = []
  for await (const chunk of req) chunks.push(chunk)
  return JSON.parse(Buffer.concat(chunks).toString() || '{}')
}
const json = (res, status, body) => {
  res.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json', 'cache-control': 'no-store' })
  res.end(body === undefined ? '' : JSON.stringify(body))
}
const problem = (res, status, code, extra = {}) => json(res, status, { type: 'about:blank', title: code, status, detail: code.replaceAll('_', ' '), code, ...extra })

class Run {
  frames = []
  readers = new Set()
  ended = false
  stopped = false
  constructor(id, session) {
    this.id = id
    this.session = session
    this.content = []
  }
  emit(event, data) {
    if (this.ended) return
    this.frames.push(`id: ${this.frames.length + 1}\n${event ? `event: ${event}\n` : ''}data: ${JSON.stringify(data)}\n\n`)
    this.ended = event === 'done' || event === 'error'
    for (const read of this.readers) read()
  }
  async attach(res, after) {
    res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'x-loquat-run-id': this.id })
    let next = after
    const ping = setInterval(() => res.write(': ping\n\n'), 10_000)
    const read = () => {
      while (next < this.frames.length) res.write(this.frames[next++])
      if (!this.ended) return
      clearInterval(ping)
      this.readers.delete(read)
      res.end()
    }
    res.on('close', () => (clearInterval(ping), this.readers.delete(read)))
    this.readers.add(read)
    read()
  }
  async write(text, event = '', key = 'text') {
    if (key === 'text') this.content.push({ text: '' })
    for (const piece of text.match(/[\s\S]{1,9}/g) ?? []) {
      if (this.stopped) throw new Error('stopped')
      if (key === 'text') this.content.at(-1).text += piece
      this.emit(event, { [key]: piece })
      await sleep(DELAY)
    }
  }
  async call(name, input, output, { isError = false, steps = 0, approve = false, id = `call_${randomUUID().slice(0, 8)}` } = {}) {
    this.emit('tool_start', { id, name })
    for (const delta of JSON.stringify(input).match(/.{1,12}/g)) this.emit('tool_input', { id, delta })
    this.content.push({ toolUse: { toolUseId: id, name, input } })
    if (approve) return this.emit('approval', { id, name, input, reason: 'This restarts a service that people use.', expires_at: new Date(Date.now() + 600_000).toISOString() })
    this.emit('tool_call', { id, name, input })
    for (let i = 1; i <= steps; i++) {
      await sleep(DELAY * 12)
      this.emit('tool_progress', { id, message: `Reading metrics, part ${i} of ${steps}`, progress: i, total: steps })
    }
    await sleep(DELAY * 12)
    if (this.stopped) throw new Error('stopped')
    this.emit('tool_result', { id, name, output, is_error: isError, duration_ms: 240 + Math.round(Math.random() * 900) })
    this.result(id, output, isError)
  }
  result(id, output, isError) {
    this.content.push({ toolResult: { toolUseId: id, status: isError ? 'error' : 'success', content: [typeof output === 'string' ? { text: output } : { json: output }] } })
  }
  finish(outcome) {
    const usage = process.env.OPENAI_BASE_URL ? { input_tokens: 120, output_tokens: 34 } : { input_tokens: 1204, output_tokens: 342 }
    const metadata = { created_at: now(), run_id: this.id, model: config.model.id, outcome, usage }
    let role
    for (const part of this.content) {
      const next = part.toolResult ? 'user' : 'assistant'
      if (next !== role) this.session.messages.push({ role: next, content: [], metadata })
      this.session.messages.at(-1).content.push(part)
      role = next
    }
    this.session.run = undefined
    this.session.updated_at = now()
    if (outcome !== 'cancelled' && !process.env.OPENAI_BASE_URL) this.emit('usage', { step: 1, model: config.model.id, ...usage, stop_reason: 'end_turn' })
    this.emit('done', { outcome, message_count: this.session.messages.length, usage })
  }
}

async function answer(run, message) {
  const q = message.toLowerCase()
  const { session } = run
  run.emit('metadata', { session_id: session.session_id, run_id: run.id, model: config.model.id, history_length: session.messages.length - 1 })
  try {
    if (process.env.OPENAI_BASE_URL) {
      await askModel(run)
      return run.finish('complete')
    }
    if (q.includes('fail')) {
      await run.write('Let me try that. ')
      session.messages.at(-1).metadata.error = 'The model is overloaded.'
      session.run = undefined
      return run.emit('error', { error: 'The model is overloaded. Please try again.', code: 'overloaded', retryable: true })
    }
    if (/latency|health|tool/.test(q)) {
      await run.write('The user wants the current health of the agent. I should read the latency metrics first, then check for open alarms before I answer.', 'reasoning', 'reasoning')
      await run.call('query_metrics', { namespace: 'Agent/Runtime', metric: 'latency_p95', period: '1h' }, { p50_ms: 412, p95_ms: 1903, samples: 18231 }, { steps: 3 })
      await run.call('list_alarms', { state: 'ALARM' }, { alarms: [] })
      if (q.includes('broken')) await run.call('restart_service', { name: 'agent' }, 'AccessDenied: not authorised to perform ecs:UpdateService', { isError: true })
    }
    if (q.includes('restart') && !q.includes('broken')) {
      await run.write('I can restart it for you.')
      await run.call('restart_service', { name: 'worker', region: 'eu-central-1', force: false }, null, { approve: true })
      session.pending = { run_id: run.id }
      return run.finish('interrupted')
    }
    for (let i = 1; q.includes('endless') && i < 5000; i++) await run.write(`Paragraph ${i}: the quick brown fox jumps over the lazy dog.\n\n`)
    const text = q.includes('huge') ? ANSWER.huge : q.includes('formula') ? ANSWER.formula : q.includes('arabic') ? ANSWER.arabic : q.startsWith('hi') ? 'Hello! How can I help you today?' : ANSWER.report
    await run.write(text)
    run.finish('complete')
  } catch (error) {
    if (run.stopped) return run.finish('cancelled')
    session.messages.at(-1).metadata.error = error.message
    session.run = undefined
    run.emit('error', { error: error.message, code: 'model_error', retryable: true })
  }
}

async function chat(req, res) {
  const body = await readBody(req)
  const known = runs.get(body.run_id)
  if (known) return known.attach(res, 0)
  if (!config.model.installed) return problem(res, 503, 'model_not_installed')
  const id = body.session_id ?? randomUUID()
  let session = sessions.get(id)
  if (!session) sessions.set(id, (session = { session_id: id, title: body.message.slice(0, 48), created_at: now(), updated_at: now(), messages: [], branches: [] }))
  if (session.run) return problem(res, 409, 'session_busy', { run_id: session.run.id })
  if (Number.isInteger(body.history_length) && body.history_length < session.messages.length)
    session.branches.push({ at: body.history_length, messages: session.messages.splice(body.history_length), replaced_at: now() })
  const run = new Run(body.run_id ?? randomUUID(), session)
  runs.set(run.id, run)
  const files = (body.attachments ?? []).map((a) => a.media_type.startsWith('image/') ? { image: { format: a.media_type.slice(6), source: { bytes: a.data } } } : { document: { format: 'txt', name: a.name, source: { bytes: a.data } } })
  session.messages.push({ role: 'user', content: [{ text: body.message }, ...files], metadata: { created_at: now(), run_id: run.id } })
  session.run = { id: run.id }
  session.pending = undefined
  session.updated_at = now()
  void answer(run, body.message)
  await run.attach(res, 0)
}

async function approvals(req, res, old) {
  const body = await readBody(req)
  const run = new Run(body.run_id ?? randomUUID(), old.session)
  runs.set(run.id, run)
  old.session.run = { id: run.id }
  old.session.pending = undefined
  run.emit('metadata', { session_id: old.session.session_id, run_id: run.id, model: config.model.id, history_length: old.session.messages.length, continues: old.id })
  void run.attach(res, 0)
  for (const { id, approved } of body.approvals) {
    await sleep(DELAY * 30)
    const output = approved ? { restarted: 'worker', seconds: 1.4 } : 'The user did not allow this call.'
    run.emit('tool_result', { id, name: 'restart_service', output, is_error: !approved, duration_ms: approved ? 1423 : 0 })
    run.result(id, output, !approved)
  }
  await run.write(body.approvals.every((a) => a.approved) ? 'Done: the **worker** service has been restarted and is healthy.' : 'All right, I left the service alone.')
  run.finish('complete')
}

const summary = ({ messages, run, branches, ...s }) => ({ ...s, message_count: messages.length, ...(run && { run_id: run.id }) })
async function api(req, res, path, query) {
  const [first, id, last] = path
  if (first === 'chat' && req.method === 'POST') return chat(req, res)
  if (first === 'runs') {
    const run = runs.get(id)
    if (!run) return problem(res, 404, 'not_found')
    if (last === 'events') return run.attach(res, Number(query.get('after') ?? 0))
    if (last === 'approvals') return approvals(req, res, run)
    if (last === 'feedback') return json(res, 204)
    run.stopped = true
    run.abort?.abort()
    while (!run.ended) await sleep(5)
    return json(res, 200, { run_id: id, outcome: 'cancelled', already_finished: false })
  }
  if (!id && req.method === 'GET') {
    const q = (query.get('q') ?? '').toLowerCase()
    const found = [...sessions.values()].filter((s) => JSON.stringify([s.title, s.messages]).toLowerCase().includes(q))
    return json(res, 200, { sessions: found.map(summary).sort((a, b) => b.updated_at.localeCompare(a.updated_at)) })
  }
  if (!id) return sessions.clear(), json(res, 200, { deleted: 0 })
  const session = sessions.get(id)
  if (!session) return problem(res, 404, 'not_found')
  if (last === 'export') return json(res, 200, session)
  if (req.method === 'GET') return json(res, 200, { ...session, message_count: session.messages.length })
  if (req.method === 'DELETE') return sessions.delete(id), json(res, 204)
  session.title = (await readBody(req)).title
  return json(res, 200, summary(session))
}

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' }
const server = http.createServer(async (req, res) => {
  const url = new URL(req.url, 'http://mock')
  const path = url.pathname.split('/').filter(Boolean)
  try {
    if (url.pathname === '/config.json') return json(res, 200, config)
    if (['chat', 'runs', 'sessions'].includes(path[0])) return await api(req, res, path, url.searchParams)
    let file = join(DIST, normalize(url.pathname))
    if (!file.startsWith(DIST) || !existsSync(file) || statSync(file).isDirectory()) file = join(DIST, 'index.html')
    res.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'content-security-policy': CSP, 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' })
    res.end(readFileSync(file))
  } catch (error) {
    if (!res.headersSent) problem(res, 500, 'internal', { detail: String(error) })
    else res.end()
  }
})
server.listen(PORT, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
