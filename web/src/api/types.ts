/** What the server's JSON routes answer: the configuration, the list of sessions and stored messages. */

export type AuthType = 'none' | 'cognito' | 'oidc' | 'api_key'

export interface AuthConfig {
  type: AuthType
  authority?: string
  client_id?: string
  scope?: string
  /** Which token the API wants: Cognito's authorizer the id token, others the access token. */
  api_token?: 'id' | 'access'
  region?: string
  user_pool_id?: string
  user_pool_client_id?: string
  user_pool_endpoint?: string
  /** `form`: our own Cognito form; `redirect`: the provider's page. */
  login?: 'redirect' | 'form'
  /** Cognito's managed-login domain, whose `/logout` is not the standard one. */
  domain?: string
}

export interface Config {
  version: string
  agent: { name: string; greeting?: string; suggestions: string[]; logo?: string; accent?: string }
  auth: AuthConfig
  /** Prefix of the API's URL; empty when the page and the API share an origin. */
  api_base: string
  model: { id: string; name: string; demo: boolean; note?: string; installed: boolean }
  attachments: { images: boolean; documents: boolean; max_bytes: number }
  limits: { message_bytes: number }
  /** False: the server keeps no conversations. */
  sessions: boolean
  /** The agent keeps facts about the reader, who may see and delete them. */
  memory?: boolean
}

/** Something that the agent knows about the reader. */
export interface Fact {
  id: string
  text: string
  created_at: string
}

export interface SessionSummary {
  session_id: string
  title: string
  created_at: string
  updated_at: string
  message_count: number
  /** The live run, when one is going on. */
  run_id?: string
}

export interface SessionPage {
  sessions: SessionSummary[]
  next_cursor?: string
}

export interface Usage {
  input_tokens?: number
  output_tokens?: number
  cache_read_tokens?: number
  cache_write_tokens?: number
  cost_usd?: number
}

/** Metadata that the server keeps beside a stored message. */
export interface StoredMetadata {
  created_at?: string
  run_id?: string
  model?: string
  outcome?: string
  usage?: Usage
  error?: string | { message?: string; code?: string; retryable?: boolean }
  feedback?: 'up' | 'down' | { rating?: 'up' | 'down' }
}

/** A stored message has the form of a Bedrock Converse message. */
export interface StoredMessage {
  role: 'user' | 'assistant'
  content: StoredContent[]
  metadata?: StoredMetadata
}

type Source = { bytes?: string }
export interface StoredContent {
  text?: string
  reasoningContent?: { reasoningText?: { text?: string } }
  toolUse?: { toolUseId: string; name: string; input: unknown }
  toolResult?: {
    toolUseId: string
    status?: 'success' | 'error'
    content?: { text?: string; json?: unknown; image?: { format: string; source?: Source } }[]
  }
  image?: { format: string; source?: Source }
  document?: { format: string; name: string; source?: Source }
}

export interface StoredBranch {
  at: number
  messages: StoredMessage[]
  replaced_at: string
}

export interface StoredSession extends SessionSummary {
  messages: StoredMessage[]
  run?: { id: string }
  /** The run whose calls wait for approval. */
  pending?: { run_id: string; expires_at?: string }
  branches?: StoredBranch[]
}

/** A file on its way to the server, as `POST /chat` takes it: `data` is base64. */
export interface OutgoingAttachment {
  name: string
  media_type: string
  data: string
}
