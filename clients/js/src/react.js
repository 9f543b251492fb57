// The conversation as a React hook.
import { useMemo, useSyncExternalStore } from "react";
import { Conversation } from "./conversation.js";

/** A conversation with an agent: its state, and what can be done with it. */
export function useConversation(agent, { sessionId } = {}) {
  const conversation = useMemo(() => new Conversation(agent, { sessionId }), [agent, sessionId]);
  const state = useSyncExternalStore(conversation.subscribe, conversation.snapshot, conversation.snapshot);
  return { ...state, send: conversation.send, decide: conversation.decide, stop: conversation.stop };
}
