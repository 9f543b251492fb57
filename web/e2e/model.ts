/** A model behind an OpenAI-compatible API that says only what the test lets it say, when the test lets it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface ChatRequest {
  stream?: boolean
  messages: { role: string; content: unknown }[]
  tools?: { function: { name: string } }[]
}

/** How long a test waits for the model to be asked. */
const PATIENCE_MS = 20_000

/** One model call under way. */
export class ModelCall {
  private readonly id = `chatcmpl-${Math.random().toString(36).slice(2)}`
  private closed = false
  /** Resolves when the other side hangs up. */
  readonly hungUp: Promise<void>

  constructor(
    readonly request: ChatRequest,
    private readonly response: ServerResponse,
  ) {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    this.hungUp = new Promise((resolve) => response.on('close', () => ((this.closed = true), resolve())))
  }

  private chunk(delta: object, finish: string | null = null, extra: object = {}) {
    if (this.closed) return
    const choices = [{ index: 0, delta, finish_reason: finish }]
    this.response.write(`data: ${JSON.stringify({ id: this.id, object: 'chat.completion.chunk', created: 1, model: 'test', choices, ...extra })}\n\n`)
  }

  say(text: string) {
    this.chunk({ role: 'assistant', content: text })
    return this
  }

  think(text: string) {
    this.chunk({ role: 'assistant', reasoning_content: text })
    return this
  }

  /** Asks for a tool, its input in pieces. */
  call(name: string, input: object, id = `call_${Math.random().toString(36).slice(2, 10)}`, index = 0) {
    this.chunk({ role: 'assistant', tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] })
    for (const piece of JSON.stringify(input).match(/.{1,7}/g) ?? []) this.chunk({ tool_calls: [{ index, function: { arguments: piece } }] })
    return this
  }

  end(reason: 'stop' | 'tool_calls' | 'length' = 'stop') {
    this.chunk({}, reason)
    if (this.closed) return
    const usage = { prompt_tokens: 120, completion_tokens: 34, total_tokens: 154 }
    this.response.write(`data: ${JSON.stringify({ id: this.id, object: 'chat.completion.chunk', created: 1, model: 'test', choices: [], usage })}\n\n`)
    this.response.end('data: [DONE]\n\n')
  }

  /** The connection breaks. */
  cut() {
    this.response.destroy()
  }

  /** What the user said last. */
  get said(): string {
    const content = this.request.messages.findLast((m) => m.role === 'user')?.content
    if (typeof content === 'string') return content
    return (content as { text?: string }[]).map((part) => part.text ?? '').join('')
  }
}

export class TestModel {
  private readonly waiting: { take: (call: ModelCall) => void; late: NodeJS.Timeout }[] = []
  private readonly arrived: ModelCall[] = []
  private readonly all = new Set<ModelCall>()
  /** Statuses to refuse the next calls with. */
  readonly refusals: { status: number; message: string }[] = []
  private readonly server: Server

  private constructor() {
    this.server = createServer((req, res) => void this.take(req, res))
  }

  static async start(): Promise<TestModel> {
    const model = new TestModel()
    await new Promise<void>((resolve) => model.server.listen(0, '127.0.0.1', resolve))
    return model
  }

  get url() {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`
  }

  private async take(req: IncomingMessage, res: ServerResponse) {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const refusal = this.refusals.shift()
    if (refusal || !req.url?.endsWith('/chat/completions')) {
      res.writeHead(refusal?.status ?? 404, { 'content-type': 'application/json' })
      return void res.end(JSON.stringify({ error: { message: refusal?.message ?? 'not found', type: 'test' } }))
    }
    const call = new ModelCall(JSON.parse(Buffer.concat(chunks).toString()) as ChatRequest, res)
    this.all.add(call)
    const next = this.waiting.shift()
    if (!next) return void this.arrived.push(call)
    clearTimeout(next.late)
    next.take(call)
  }

  /** The next call to the model, as soon as it comes. */
  next(): Promise<ModelCall> {
    const call = this.arrived.shift()
    if (call) return Promise.resolve(call)
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('Nobody asked the model.')), PATIENCE_MS)
      this.waiting.push({ take: resolve, late })
    })
  }

  /** No call waits to be taken by the test. */
  get idle(): boolean {
    return this.arrived.length === 0
  }

  /** Ends whatever a test has left open. */
  clear() {
    for (const call of this.all) call.cut()
    this.all.clear()
    this.arrived.length = 0
    for (const { late } of this.waiting) clearTimeout(late)
    this.waiting.length = 0
    this.refusals.length = 0
  }

  stop() {
    this.clear()
    this.server.closeAllConnections()
    this.server.close()
  }
}
