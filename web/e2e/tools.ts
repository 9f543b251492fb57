/** Tools behind the Model Context Protocol (streamable HTTP) that do only what the test lets them do, when it lets them. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const VERSION = '2025-06-18'

interface Message {
  id?: number | string
  method?: string
  params?: { name?: string; arguments?: Record<string, unknown>; _meta?: { progressToken?: number | string } }
}

/** One call of a tool under way. */
export class ToolCall {
  constructor(
    private readonly message: Message,
    private readonly response: ServerResponse,
  ) {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
  }

  get name() {
    return this.message.params?.name ?? ''
  }
  get input() {
    return this.message.params?.arguments ?? {}
  }

  private send(message: object) {
    this.response.write(`event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`)
  }

  progress(progress: number, total: number, message: string) {
    const progressToken = this.message.params?._meta?.progressToken
    this.send({ method: 'notifications/progress', params: { progressToken, progress, total, message } })
    return this
  }

  end(result: object | string, isError = false) {
    const text = typeof result === 'string' ? result : JSON.stringify(result)
    const structuredContent = typeof result === 'string' ? {} : { structuredContent: result }
    this.send({ id: this.message.id, result: { content: [{ type: 'text', text }], isError, ...structuredContent } })
    this.response.end()
  }
}

export class TestTools {
  private readonly waiting: ((call: ToolCall) => void)[] = []
  private readonly arrived: ToolCall[] = []
  private readonly server: Server

  private constructor(private readonly names: string[]) {
    this.server = createServer((req, res) => void this.take(req, res))
  }

  static async start(...names: string[]): Promise<TestTools> {
    const tools = new TestTools(names)
    await new Promise<void>((resolve) => tools.server.listen(0, '127.0.0.1', resolve))
    return tools
  }

  /** What `loquat.toml` has to say. */
  get toml() {
    const { port } = this.server.address() as AddressInfo
    return `[[mcp]]\nname = "ops"\nurl = "http://127.0.0.1:${port}/mcp"\nprotocol = "${VERSION}"\n`
  }

  private async take(req: IncomingMessage, res: ServerResponse) {
    if (req.method !== 'POST') return void res.writeHead(405).end()
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const message = JSON.parse(Buffer.concat(chunks).toString()) as Message
    const reply = (result: object) => {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end(JSON.stringify({ jsonrpc: '2.0', id: message.id, result }))
    }
    switch (message.method) {
      case 'initialize':
        return reply({ protocolVersion: VERSION, capabilities: { tools: {} }, serverInfo: { name: 'ops', version: '1' } })
      case 'ping':
        return reply({})
      case 'tools/list':
        return reply({ tools: this.names.map((name) => ({ name, description: `Does ${name}.`, inputSchema: { type: 'object' } })) })
      case 'tools/call': {
        const call = new ToolCall(message, res)
        const next = this.waiting.shift()
        return void (next ? next(call) : this.arrived.push(call))
      }
      default:
        return void res.writeHead(202).end()
    }
  }

  /** The next call, as soon as it comes. */
  next(): Promise<ToolCall> {
    const call = this.arrived.shift()
    return call ? Promise.resolve(call) : new Promise((resolve) => this.waiting.push(resolve))
  }

  stop() {
    this.server.closeAllConnections()
    this.server.close()
  }
}
