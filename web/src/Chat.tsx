/** The chat: list, header, conversation, and the address that says which one. A lazy chunk, loaded after sign-in. */
import { ActivityIcon, MenuIcon, PanelLeftIcon, SquarePenIcon } from 'lucide-react'
import { Suspense, useCallback, useEffect, useMemo, useState } from 'react'
import { Api } from './api/transport'
import type { Config } from './api/types'
import type { Provider } from './auth'
import type { Attachment } from './chat/history'
import { Sessions, UNDO_MS } from './chat/sessions'
import { ChatStore } from './chat/store'
import { ServicesContext, useConversation, useServices, useSessions, type Services } from './components/context'
import { Sidebar } from './components/Sidebar'
import { Thread } from './components/Thread'
import { Tips } from './components/Tips'
import { IconButton, Modal } from './components/ui'
import { useT } from './i18n'
import { chunk, persist } from './lib/lazy'
import { onNotice, type Notice } from './lib/notice'
import { read, write } from './lib/storage'
import { uuid } from './lib/uuid'

const Inspector = chunk(() => import('./components/Inspector'))

/** Room for the inspector beside the conversation. */
const ROOMY = '(min-width: 75rem)'

const idFromUrl = (): string | undefined => /^\/c\/([A-Za-z0-9_-]{1,256})\/?$/.exec(location.pathname)?.[1]

interface Props {
  config: Config
  auth: Provider
  onSignOut?: () => void
}

export default function Chat({ config, auth, onSignOut }: Props) {
  const services = useMemo<Services>(() => {
    const api = new Api(auth, config.api_base)
    const sessions = new Sessions(api)
    const store = new ChatStore({
      api,
      keepsSessions: config.sessions,
      onListChange: () => config.sessions && sessions.refresh(),
      onMention: (id, title) => sessions.mention(id, title),
    })
    if (config.sessions) sessions.refresh(0)
    return { config, auth, api, sessions, store }
  }, [config, auth])
  // The answer's chunk is not needed for the first paint, but very soon after.
  useEffect(() => {
    const later = window.requestIdleCallback ?? ((f: () => void) => setTimeout(f, 300))
    later(() => void persist(() => import('./components/Markdown')).catch(() => {}))
  }, [])
  const leave = onSignOut && (async () => {
    await services.sessions.end()
    services.store.end()
    services.api.end()
    onSignOut()
  })
  return (
    <ServicesContext value={services}>
      <Shell onSignOut={leave} />
      <Tips />
    </ServicesContext>
  )
}

function useAddress() {
  const [id, setId] = useState(idFromUrl)
  useEffect(() => {
    const moved = () => setId(idFromUrl())
    addEventListener('popstate', moved)
    return () => removeEventListener('popstate', moved)
  }, [])
  const go = useCallback((next: string | undefined) => {
    const query = new URLSearchParams(location.search).has('inspect') ? '?inspect' : ''
    if (idFromUrl() !== next) history.pushState(null, '', (next ? `/c/${next}` : '/') + query)
    setId(next)
  }, [])
  return [id, go] as const
}

function Shell({ onSignOut }: { onSignOut?: () => void }) {
  const t = useT()
  const { store, config } = useServices()
  const { items, leaving } = useSessions()
  const [id, go] = useAddress()
  const conversation = useConversation(id)
  const [open, setOpen] = useState(() => read('sidebar') !== 'closed')
  const [drawer, setDrawer] = useState(false)
  // Where it would cover the conversation it waits for its button in the header.
  const [inspecting, setInspecting] = useState(() => new URLSearchParams(location.search).has('inspect') && matchMedia(ROOMY).matches)
  const wide = useMedia('(min-width: 48rem)')
  const roomy = useMedia(ROOMY)

  useEffect(() => {
    if (id === undefined) return
    if (config.sessions) store.open(id)
    else if (!store.get(id)) go(undefined)
  }, [id, store, config.sessions, go])

  // A run that somebody started elsewhere, or whatever happened while this tab was out of sight.
  const listed = items.find((s) => s.session_id === id)
  useEffect(() => {
    if (id === undefined || !config.sessions) return
    if (listed?.run_id) store.refresh(id)
    const look = () => document.visibilityState === 'visible' && store.refresh(id)
    document.addEventListener('visibilitychange', look)
    return () => document.removeEventListener('visibilitychange', look)
  }, [id, listed?.run_id, store, config.sessions])

  const title = listed?.title || conversation?.title
  useEffect(() => {
    document.title = title ? `${title} · ${config.agent.name}` : config.agent.name
  }, [title, config.agent.name])

  // What is said is said outside of the drawer, where nothing is read or can be pressed while that is open.
  useEffect(() => {
    if (leaving) setDrawer(false)
  }, [leaving])
  useEffect(() => onNotice(() => setDrawer(false)), [])

  const openChat = useCallback((next: string | undefined) => {
    setDrawer(false)
    go(next)
  }, [go])
  useEffect(() => {
    const keys = (e: KeyboardEvent) => {
      if (!(e.ctrlKey || e.metaKey) || !e.shiftKey || e.key.toLowerCase() !== 'o') return
      e.preventDefault()
      openChat(undefined)
    }
    addEventListener('keydown', keys)
    return () => removeEventListener('keydown', keys)
  }, [openChat])

  const send = (text: string, files: Attachment[]) => {
    const session = id ?? uuid()
    store.send(session, text, files)
    if (id === undefined) go(session)
  }
  const fold = () => {
    write('sidebar', open ? 'closed' : null)
    setOpen(!open)
  }
  const list = { current: id, onOpen: openChat, onSignOut, onInspect: () => (setDrawer(false), setInspecting(true)) }
  const inspector = (
    <Suspense>
      <Inspector conversation={conversation} onClose={() => setInspecting(false)} />
    </Suspense>
  )

  return (
    <div className="flex h-dvh overflow-hidden">
      <a href="#main" className="sr-only z-50 rounded-lg bg-accent px-4 py-2 text-accent-ink focus:not-sr-only focus:fixed focus:start-2 focus:top-2">{t('skip')}</a>
      {config.sessions && wide && open && <div className="w-[17rem] shrink-0 border-e border-line"><Sidebar {...list} /></div>}
      {config.sessions && !wide && (
        <Modal open={drawer} onClose={() => setDrawer(false)} label={t('conversations')} className="slide-in m-0 h-dvh max-h-none w-[min(19rem,86vw)] max-w-none border-e shadow-xl">
          <Sidebar {...list} onClose={() => setDrawer(false)} />
        </Modal>
      )}
      <main id="main" tabIndex={-1} className="flex min-w-0 flex-1 flex-col outline-none">
        <header className="flex h-14 shrink-0 items-center gap-1.5 px-3">
          {config.sessions &&
            (wide ? (
              <IconButton label={t(open ? 'hideConversations' : 'showConversations')} aria-expanded={open} className="aria-expanded:bg-transparent" onClick={fold}><PanelLeftIcon className="rtl:-scale-x-100" /></IconButton>
            ) : (
              <IconButton label={t('openConversations')} onClick={() => setDrawer(true)}><MenuIcon /></IconButton>
            ))}
          <h1 dir="auto" className="min-w-0 flex-1 truncate px-1 text-sm font-medium text-dim">{title || <span className="sr-only">{t('newChat')}</span>}</h1>
          {!inspecting && new URLSearchParams(location.search).has('inspect') ? <IconButton label={t('inspector')} onClick={() => setInspecting(true)}><ActivityIcon /></IconButton> : null}
          {!(config.sessions && wide && open) && <IconButton label={t('newChat')} onClick={() => openChat(undefined)}><SquarePenIcon /></IconButton>}
        </header>
        <Thread session={id} conversation={conversation} onSend={send} />
      </main>
      {inspecting && roomy && <div className="w-[24rem] shrink-0 border-s border-line">{inspector}</div>}
      {!roomy && (
        <Modal open={inspecting} onClose={() => setInspecting(false)} label={t('inspector')} className="m-0 ms-auto h-dvh max-h-none w-[min(26rem,100vw)] max-w-none">{inspector}</Modal>
      )}
      <Notices />
    </div>
  )
}

function useMedia(query: string) {
  const [matches, setMatches] = useState(() => matchMedia(query).matches)
  useEffect(() => {
    const list = matchMedia(query)
    const look = () => setMatches(list.matches)
    list.addEventListener('change', look)
    return () => list.removeEventListener('change', look)
  }, [query])
  return matches
}

/** What is said for a few seconds at the bottom: a deletion that can be taken back, something that has not worked. */
function Notices() {
  const t = useT()
  const { sessions, store } = useServices()
  const { leaving } = useSessions()
  const [notice, setNotice] = useState<Notice>()
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    return onNotice((said) => {
      setNotice(said)
      clearTimeout(timer)
      timer = setTimeout(() => setNotice(undefined), UNDO_MS)
    })
  }, [])
  useEffect(() => {
    if (leaving) store.drop(leaving.session_id)
  }, [leaving, store])
  const box = 'pointer-events-auto flex max-w-full items-center gap-3 rounded-xl bg-ink px-4 py-2.5 text-sm text-bg shadow-lg'
  return (
    <div role="status" className="pointer-events-none fixed inset-x-4 bottom-5 z-40 flex flex-col items-center gap-2">
      {notice && <p dir="auto" className={box}>{t(notice.key, notice.values)}</p>}
      {leaving && (
        <p className={box}>
          <span className="min-w-0 truncate">{t('deleted', { title: leaving.title || t('newChat') })}</span>
          <button type="button" onClick={() => sessions.undoRemoval()} className="shrink-0 rounded font-semibold underline underline-offset-2 outline-offset-4 focus-visible:outline-bg">{t('undo')}</button>
        </p>
      )}
    </div>
  )
}
