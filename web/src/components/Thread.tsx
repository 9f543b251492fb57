/** The conversation: its turns, the composer, and what there is to say about the connection. */
import { ArrowDownIcon, WifiOffIcon } from 'lucide-react'
import { useEffect, useMemo, useRef, useState } from 'react'
import { linesOf, versionsAt, type Attachment, type Turn } from '../chat/history'
import type { Conversation } from '../chat/store'
import { useT } from '../i18n'
import { retryNow } from '../lib/pause'
import { Announcer } from './Announcer'
import { Composer } from './Composer'
import { useServices } from './context'
import { TurnView, type Versions } from './Turn'
import { buttonClass, cx, IconButton, Spinner, Ticked } from './ui'
import { useStick } from './useStick'
import { Logo } from './Logo'

const COLUMN = 'mx-auto w-full max-w-[47rem] px-4 sm:px-6'

interface Props {
  session: string | undefined
  conversation: Conversation | undefined
  onSend(text: string, files: Attachment[]): void
}

/** The turns of the viewed line, each with its versions. */
const useLine = (conversation: Conversation | undefined) =>
  useMemo(() => {
    const { turns = [], branches = [], viewed = branches.length } = conversation ?? {}
    const lines = linesOf(turns, branches)
    const line = lines[viewed] ?? turns
    const find = (at: number, index: number): Turn | undefined => lines[index]?.find((t) => t.at === at)
    return line.map((turn) => {
      const choices = branches.length === 0 ? [] : versionsAt(turn.at, branches, viewed)
      const edited = choices.some((index) => (find(turn.at, index)?.text ?? turn.text) !== turn.text)
      const versions: Versions | undefined = choices.length > 1 ? { lines: choices, shown: viewed, edited } : undefined
      return { turn, versions }
    })
  }, [conversation])

export function Thread({ session, conversation, onSend }: Props) {
  const t = useT()
  const { store, config } = useServices()
  const viewport = useRef<HTMLDivElement>(null)
  const list = useRef<HTMLOListElement>(null)
  const line = useLine(conversation)
  const live = conversation?.live
  const [anchor, setAnchor] = useState<string>()
  // The question that was asked last stays at the top after its answer has ended.
  useEffect(() => {
    if (live) setAnchor(live.turnKey)
  }, [live?.turnKey])
  const { spacer, away, toEnd } = useStick(viewport, list, anchor, conversation?.id)
  const phase = conversation?.phase ?? 'ready'
  const empty = line.length === 0 && phase === 'ready'
  const earlier = conversation?.viewed !== undefined
  const newest = line.at(-1)?.turn

  return (
    <div className={cx('relative flex min-h-0 flex-1 flex-col', empty && 'justify-center pb-[8dvh]')}>
      <Announcer answer={live ? newest?.answer : undefined} />
      {empty && (
        <div className={cx(COLUMN, 'flex flex-col items-center pb-6 text-center')}>
          <Logo className="mb-5 size-12" />
          <h2 dir="auto" className="text-[1.7rem] leading-tight font-semibold tracking-tight text-balance">{config.agent.greeting ?? t('greeting')}</h2>
        </div>
      )}
      <div ref={viewport} className={cx('scroll-thin overflow-y-auto [overflow-anchor:none] [scrollbar-gutter:stable_both-edges]', empty ? 'hidden' : 'flex-1')}>
        {phase === 'loading' && <Loading />}
        {(phase === 'missing' || phase === 'failed') && <Trouble id={conversation?.id ?? ''} missing={phase === 'missing'} />}
        <ol ref={list} aria-label={t('conversation')} className={cx(COLUMN, 'flex flex-col gap-1.5 pb-6 empty:hidden')}>
          {line.map(({ turn, versions }, i) => (
            <TurnView
              key={turn.key}
              id={conversation?.id ?? ''}
              turn={turn}
              live={live}
              versions={live ? undefined : versions}
              isLast={i === line.length - 1}
              readOnly={earlier}
            />
          ))}
        </ol>
        <div ref={spacer} aria-hidden />
      </div>
      <div className="relative shrink-0 pb-[max(0.75rem,env(safe-area-inset-bottom))]">
        {!empty && <div aria-hidden className="pointer-events-none absolute inset-x-0 -top-5 h-5 bg-linear-to-t from-bg to-transparent" />}
        <div className={cx(COLUMN, 'relative')}>
          {away && !empty && (
            <IconButton label={t('toEnd')} round className="absolute -top-11 left-1/2 z-10 -translate-x-1/2 border border-line bg-card shadow-md" onClick={toEnd}><ArrowDownIcon /></IconButton>
          )}
          {live?.retrying && <Reconnecting />}
          {earlier ? (
            <div className="flex flex-wrap items-center justify-between gap-3 rounded-2xl border border-line bg-panel px-4 py-3 text-sm text-dim">
              {t('earlier')}
              <button type="button" className={buttonClass} onClick={() => store.view(conversation.id, undefined)}>{t('toLatest')}</button>
            </div>
          ) : (
            <Composer key={session ?? 'new'} session={session} live={live} onSend={onSend} onStop={() => (session ? store.stop(session) : undefined)} />
          )}
          {empty && <Suggestions onPick={(text) => onSend(text, [])} />}
          <Note quiet={empty} />
        </div>
      </div>
    </div>
  )
}

/** What stands below the composer: the model is a demonstration, or is missing, or can err. */
function Note({ quiet }: { quiet: boolean }) {
  const t = useT()
  const { model, agent } = useServices().config
  const line = 'mt-2.5 text-center text-xs leading-relaxed text-dim text-balance'
  if (!model.installed) {
    return (
      <p className={line} data-note="not-installed">
        {model.note ? <Ticked text={model.note} /> : t('notInstalled')}
      </p>
    )
  }
  if (model.demo) return <p className={line} data-note="demo" dir="auto">{model.note ?? model.name}</p>
  return quiet ? null : <p className={line}>{t('mistakes', { name: agent.name })}</p>
}

function Reconnecting() {
  const t = useT()
  const [online, setOnline] = useState(navigator.onLine)
  useEffect(() => {
    const look = () => setOnline(navigator.onLine)
    addEventListener('online', look)
    addEventListener('offline', look)
    return () => {
      removeEventListener('online', look)
      removeEventListener('offline', look)
    }
  }, [])
  return (
    <div role="status" className="mb-2 flex items-center justify-center gap-2 text-sm text-dim" data-reconnecting>
      {online ? <Spinner /> : <WifiOffIcon aria-hidden className="size-4" />}
      {t(online ? 'reconnecting' : 'offline')}
      {online && <button type="button" onClick={retryNow} className="rounded underline underline-offset-2 hover:text-ink">{t('retryNow')}</button>}
    </div>
  )
}

function Suggestions({ onPick }: { onPick(text: string): void }) {
  const t = useT()
  const { suggestions } = useServices().config.agent
  if (suggestions.length === 0) return null
  return (
    <ul aria-label={t('suggestions')} className="mt-4 grid grid-cols-1 gap-2 sm:grid-cols-2">
      {suggestions.slice(0, 6).map((text) => (
        <li key={text}>
          <button type="button" dir="auto" onClick={() => onPick(text)} className="h-full w-full rounded-xl border border-line px-3.5 py-2.5 text-start text-sm text-dim transition-colors hover:bg-soft hover:text-ink">
            {text}
          </button>
        </li>
      ))}
    </ul>
  )
}

function Loading() {
  const t = useT()
  return (
    <div role="status" className={cx(COLUMN, 'space-y-4 pt-8')}>
      <span className="sr-only">{t('loading')}</span>
      <div className="ms-auto h-11 w-1/2 animate-pulse rounded-2xl bg-soft" />
      {['w-11/12', 'w-10/12', 'w-7/12'].map((width) => <div key={width} className={cx('h-4 animate-pulse rounded bg-soft', width)} />)}
    </div>
  )
}

function Trouble({ id, missing }: { id: string; missing: boolean }) {
  const t = useT()
  const { store } = useServices()
  return (
    <div role="alert" className={cx(COLUMN, 'flex flex-col items-center gap-4 pt-[20dvh] text-center text-dim')}>
      <p>{t(missing ? 'notFound' : 'loadFailed')}</p>
      {!missing && <button type="button" className={buttonClass} onClick={() => store.open(id)}>{t('tryAgain')}</button>}
    </div>
  )
}
