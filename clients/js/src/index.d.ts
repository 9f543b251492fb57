/** Tokens of a run. */
export interface Usage {
  input_tokens: number
  output_tokens: number
  cache_read_tokens?: number
  cache_write_tokens?: number
  /** In US dollars, where the prices are known. */
  cost_usd?: number
}

/** What happens in a run, as the `chat` dialect tells it with `"events": "all"`. `cursor` resumes after it. */
export type Event = { cursor?: number } & (
  | { type: 'metadata'; session_id: string; run_id: string; model: string; history_length: number; continues?: string }
  | { type: 'text'; text: string }
  | { type: 'reasoning'; reasoning: string }
  | { type: 'tool_start'; id: string; name: string }
  | { type: 'tool_input'; id: string; delta: string }
  | { type: 'tool_call'; id: string; name: string; input: unknown }
  | { type: 'tool_progress'; id: string; message?: string; progress?: number; total?: number; data?: unknown }
  | { type: 'tool_result'; id: string; name: string; output: unknown; is_error: boolean; duration_ms: number }
  | { type: 'approval'; id: string; name: string; input: unknown; reason?: string; expires_at?: string }
  | { type: 'client_tool'; id: string; name: string; input: unknown }
  | { type: 'reset'; reason: string }
  | ({ type: 'usage'; step: number; model: string; stop_reason: string; totals_usd?: { run: number; session?: number; day?: number } } & Usage)
  | { type: 'custom'; name: string; data: unknown }
  | { type: 'error'; error: string; code: string; retryable: boolean }
  | { type: 'done'; outcome: Outcome; message_count?: number; usage: Usage }
)

/** How a run that did not fail ended. */
export type Outcome =
  | 'complete' | 'cancelled' | 'max_tokens' | 'max_steps' | 'max_seconds'
  | 'stop_sequence' | 'refusal' | 'guardrail' | 'interrupted'

/** What a run has said so far. */
export interface Answer {
  text: string
  reasoning: string
  tools: ToolCall[]
  /** Calls that wait for the user's consent. */
  approvals: { id: string; name: string; input: unknown; reason?: string; expires_at?: string }[]
  /** Undefined while it goes on. */
  outcome?: Outcome | 'failed'
  error?: { message: string; code: string; retryable: boolean }
  sessionId?: string
  runId?: string
  model?: string
  messageCount?: number
  usage?: Usage
}

export interface ToolCall {
  id: string
  name: string
  input: unknown
  output?: unknown
  isError?: boolean
  progress?: { message?: string; progress?: number; total?: number }
}

export interface Attachment {
  name: string
  media_type: string
  /** Base64. */
  data: string
}

export interface Options {
  /** Where the agent is; empty for the page's own origin. */
  url?: string
  /** The credential, or what gives a fresh one before each request. */
  token?: string | (() => string | undefined | Promise<string | undefined>)
  fetch?: typeof globalThis.fetch
  /** How long to wait before attempt n, in milliseconds. */
  delay?: (attempt: number) => number
}

export interface SendOptions {
  sessionId?: string
  /** The same id again is the same run. */
  runId?: string
  /** Go on from the first so many stored messages: edit, regenerate. */
  historyLength?: number
  onBusy?: 'reject' | 'queue' | 'interrupt'
  attachments?: Attachment[]
  signal?: AbortSignal
}

export interface Session {
  session_id: string
  title: string
  created_at: string
  updated_at: string
  message_count: number
  run_id?: string
}

export interface Approval {
  id: string
  approved: boolean
  reason?: string
}

export class Loquat {
  constructor(options?: Options)
  send(message: string, options?: SendOptions): Run
  decide(runId: string, approvals: Approval[], options?: { signal?: AbortSignal }): Run
  follow(runId: string, options?: { after?: number; signal?: AbortSignal }): Run
  stop(runId: string): Promise<{ run_id: string; outcome: string; already_finished: boolean; text_kept: number }>
  sessions(options?: { q?: string; cursor?: string; limit?: number }): Promise<{ sessions: Session[]; next_cursor?: string }>
  session(id: string): Promise<Session & { messages: unknown[] }>
  rename(id: string, title: string): Promise<Session>
  remove(id: string): Promise<void>
  request(path: string, request?: { method?: string; body?: unknown; signal?: AbortSignal }): Promise<Response>
  json(path: string, request?: { method?: string; body?: unknown; signal?: AbortSignal }): Promise<any>
}

/** One answer: its events as they come, whatever the network does. Read it once, or wait for `done`. */
export class Run implements AsyncIterable<Event> {
  readonly runId: string
  /** What has been said so far. */
  readonly answer: Answer
  /** The whole answer. Rejects with a `Problem` if the server refused the request. */
  readonly done: Promise<Answer>
  stop(): Promise<unknown>
  /** Stops reading. The run goes on. */
  leave(): void
  [Symbol.asyncIterator](): AsyncIterator<Event>
}

/** A refusal of the server, in its own words. `status` is 0 where no answer came at all. */
export class Problem extends Error {
  readonly status: number
  readonly code: string
  readonly retryAfter?: number
  readonly runId?: string
}

export interface Turn {
  id: string
  message: string
  answer: Answer
}

export interface ConversationState {
  sessionId: string
  turns: Turn[]
  running: boolean
  error?: unknown
}

/** Keeps the turns of a conversation; whoever shows them subscribes. */
export class Conversation {
  constructor(agent: Loquat, options?: { sessionId?: string })
  subscribe(listener: () => void): () => void
  snapshot(): ConversationState
  send(message: string, options?: SendOptions): Promise<Answer>
  decide(approvals: Approval[]): Promise<Answer>
  stop(): Promise<unknown> | undefined
}

export function empty(): Answer
export function fold(answer: Answer, event: Event): Answer
export function decode(frame: { id?: number; event: string; data: string }): Event | undefined
export function readFrames(
  body: ReadableStream<Uint8Array>,
  alive?: () => void,
): AsyncGenerator<{ id?: number; event: string; data: string }>
