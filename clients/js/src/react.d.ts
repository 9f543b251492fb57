import type { Answer, Approval, ConversationState, Loquat, SendOptions } from './index.js'

/** A conversation with an agent: its state, and what can be done with it. */
export function useConversation(
  agent: Loquat,
  options?: { sessionId?: string },
): ConversationState & {
  send(message: string, options?: SendOptions): Promise<Answer>
  decide(approvals: Approval[]): Promise<Answer>
  stop(): Promise<unknown> | undefined
}
