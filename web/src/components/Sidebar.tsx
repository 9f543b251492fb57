/** The conversations by day, with search, and the settings at the bottom. */
import { DownloadIcon, EllipsisIcon, FileJsonIcon, PencilIcon, SearchIcon, SquarePenIcon, Trash2Icon, XIcon } from 'lucide-react'
import { useState, type KeyboardEvent } from 'react'
import type { SessionSummary } from '../api/types'
import { useT } from '../i18n'
import type { Key } from '../i18n/strings'
import { dayGroup } from '../lib/format'
import { say } from '../lib/notice'
import { useServices, useSessions } from './context'
import { Logo } from './Logo'
import { Settings } from './Settings'
import { buttonClass, cx, IconButton, Menu, MenuItem, MenuLine, Spinner } from './ui'

export interface SidebarProps {
  current: string | undefined
  onOpen(id: string | undefined): void
  onInspect(): void
  onSignOut?: () => void
  /** In the phone's drawer. */
  onClose?: () => void
}

export function Sidebar({ current, onOpen, onInspect, onSignOut, onClose }: SidebarProps) {
  const t = useT()
  const { config } = useServices()
  return (
    <nav aria-label={t('conversations')} className="flex h-full min-h-0 flex-col bg-panel">
      <div className="flex h-14 shrink-0 items-center gap-2.5 px-4">
        <Logo className="size-7" />
        <span className="min-w-0 flex-1 truncate font-semibold tracking-tight">{config.agent.name}</span>
        {onClose && <IconButton label={t('closeConversations')} onClick={onClose}><XIcon /></IconButton>}
      </div>
      <div className="px-2.5">
        <button type="button" onClick={() => onOpen(undefined)} className="mb-2 flex w-full items-center gap-2.5 rounded-lg border border-line bg-card px-3 py-2 text-sm font-medium transition-colors hover:bg-soft [&_svg]:size-4">
          <SquarePenIcon aria-hidden /> {t('newChat')}
        </button>
        <Search />
      </div>
      <div className="scroll-thin min-h-0 flex-1 overflow-y-auto px-2.5 pb-4"><Items current={current} onOpen={onOpen} /></div>
      <Settings onInspect={onInspect} onSignOut={onSignOut} />
    </nav>
  )
}

function Search() {
  const t = useT()
  const { sessions } = useServices()
  const { query } = useSessions()
  return (
    <div className="relative">
      <SearchIcon aria-hidden className="pointer-events-none absolute start-3 top-1/2 size-4 -translate-y-1/2 text-dim" />
      <input
        type="search"
        aria-label={t('search')}
        placeholder={t('search')}
        value={query}
        onChange={(e) => sessions.search(e.target.value)}
        className="w-full rounded-lg bg-transparent py-2 ps-9 pe-2 text-base outline-none placeholder:text-dim hover:bg-soft focus:bg-soft sm:text-sm"
      />
    </div>
  )
}

function Items({ current, onOpen }: { current: string | undefined; onOpen(id: string | undefined): void }) {
  const t = useT()
  const { sessions } = useServices()
  const { items, phase, query, nextCursor, loadingMore } = useSessions()
  if (phase === 'loading')
    return (
      <div role="status" className="space-y-3 px-3 pt-4">
        <span className="sr-only">{t('loading')}</span>
        {['w-4/5', 'w-3/5', 'w-2/3'].map((width) => <div key={width} className={cx('h-4 animate-pulse rounded bg-soft', width)} />)}
      </div>
    )
  if (phase === 'error')
    return (
      <div className="space-y-3 px-3 pt-3 text-sm text-dim">
        <p>{t('listFailed')}</p>
        <button type="button" className={buttonClass} onClick={() => sessions.refresh(0)}>{t('tryAgain')}</button>
      </div>
    )
  if (items.length === 0) return <p role="status" className="px-3 pt-3 text-sm text-dim">{t(query ? 'nothingFound' : 'noConversations')}</p>
  const groups = new Map<Key, SessionSummary[]>()
  for (const s of items) {
    const day = dayGroup(s.updated_at)
    groups.set(day, [...(groups.get(day) ?? []), s])
  }
  return (
    <>
      {[...groups].map(([group, list]) => (
        <section key={group} aria-label={t(group)}>
          <h2 className="px-3 pt-4 pb-1.5 text-xs font-medium text-dim">{t(group)}</h2>
          <ul>{list.map((s) => <Item key={s.session_id} session={s} active={s.session_id === current} onOpen={onOpen} />)}</ul>
        </section>
      ))}
      {nextCursor && (
        <button type="button" disabled={loadingMore} onClick={() => void sessions.more()} className="mt-3 w-full rounded-lg px-3 py-2 text-sm text-dim hover:bg-soft">
          {loadingMore ? <Spinner /> : t('loadMore')}
        </button>
      )}
    </>
  )
}

/** Hands a file to the browser's downloads. */
const download = (blob: Blob, name: string) => {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

function Item({ session, active, onOpen }: { session: SessionSummary; active: boolean; onOpen(id: string | undefined): void }) {
  const t = useT()
  const { sessions, store, api } = useServices()
  const [renaming, setRenaming] = useState(false)
  const id = session.session_id
  const title = session.title || t('newChat')
  const running = session.run_id !== undefined || store.isLive(id)

  const rename = (value: string) => {
    setRenaming(false)
    if (value.trim() && value.trim() !== session.title) void sessions.rename(id, value.trim())
  }
  const keys = (e: KeyboardEvent<HTMLInputElement>) => {
    if (e.key === 'Enter' && !e.nativeEvent.isComposing) rename(e.currentTarget.value)
    if (e.key !== 'Escape') return
    e.preventDefault() // in the drawer it would close that too
    setRenaming(false)
  }
  const save = async (format: 'md' | 'json') => {
    const name = `${title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '') || 'chat'}.${format}`
    await api.export(id, format).then(
      (blob) => download(blob, name),
      () => say('exportFailed', { title }),
    )
  }
  const remove = () => {
    sessions.remove(id)
    if (active) onOpen(undefined)
  }

  if (renaming)
    return (
      <li className="p-1">
        <input autoFocus aria-label={t('titleLabel')} defaultValue={session.title} maxLength={200} onFocus={(e) => e.target.select()} onBlur={(e) => rename(e.target.value)} onKeyDown={keys} className="w-full rounded-md border border-accent-text bg-bg px-2 py-1 text-base outline-none sm:text-sm" />
      </li>
    )
  return (
    <li className={cx('group relative flex items-center rounded-lg text-sm transition-colors hover:bg-soft', active && 'bg-soft font-medium')}>
      <a
        href={`/c/${id}`}
        aria-current={active ? 'page' : undefined}
        onClick={(e) => {
          if (e.metaKey || e.ctrlKey || e.shiftKey) return
          e.preventDefault()
          onOpen(id)
        }}
        className="min-w-0 flex-1 truncate rounded-lg px-3 py-2 -outline-offset-2 group-focus-within:pe-9 group-hover:pe-9 pointer-coarse:py-2.5 pointer-coarse:pe-12"
        dir="auto"
      >
        {title}
      </a>
      {running && <span className="me-2.5 flex group-focus-within:me-9 group-hover:me-9 pointer-coarse:me-12" data-running><Spinner /><span className="sr-only">{t('running')}</span></span>}
      <Menu
        button={(props) => (
          <IconButton {...props} label={t('optionsFor', { title })} className="absolute end-1 size-7 bg-soft opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 aria-expanded:opacity-100 pointer-coarse:bg-transparent pointer-coarse:opacity-100">
            <EllipsisIcon />
          </IconButton>
        )}
      >
        <MenuItem onSelect={() => setRenaming(true)}><PencilIcon /> {t('rename')}</MenuItem>
        <MenuItem onSelect={() => void save('md')}><DownloadIcon /> {t('exportMarkdown')}</MenuItem>
        <MenuItem onSelect={() => void save('json')}><FileJsonIcon /> {t('exportJson')}</MenuItem>
        <MenuLine />
        <MenuItem danger onSelect={remove}><Trash2Icon /> {t('delete')}</MenuItem>
      </Menu>
    </li>
  )
}
