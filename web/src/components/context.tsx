/** What every component of the chat may need: the store, the list, the configuration, and the words. */
import { createContext, useContext, useSyncExternalStore } from 'react'
import type { Api } from '../api/transport'
import type { Config } from '../api/types'
import type { Provider } from '../auth'
import type { Sessions } from '../chat/sessions'
import type { ChatStore, Conversation } from '../chat/store'

export interface Services {
  config: Config
  auth: Provider
  api: Api
  store: ChatStore
  sessions: Sessions
}

export const ServicesContext = createContext<Services | null>(null)

export const useServices = (): Services => {
  const services = useContext(ServicesContext)
  if (!services) throw new Error('ServicesContext is missing')
  return services
}

export const useConversation = (id: string | undefined): Conversation | undefined => {
  const { store } = useServices()
  return useSyncExternalStore(store.subscribe, () => (id === undefined ? undefined : store.get(id)))
}

export const useSessions = () => {
  const { sessions } = useServices()
  return useSyncExternalStore(sessions.subscribe, sessions.snapshot)
}
