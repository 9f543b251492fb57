/** One turn: what the user said and what came of it. */
import { ChevronLeftIcon, ChevronRightIcon, CircleAlertIcon, FileTextIcon, PencilIcon, RefreshCwIcon, ThumbsDownIcon, ThumbsUpIcon } from 'lucide-react'
import { memo, Suspense, useCallback, useState, type KeyboardEvent } from 'react'
import type { Live } from '../chat/store'
import type { Attachment, Turn } from '../chat/history'
import { isAskedAnew } from '../chat/lost'
import { answerText, type Answer } from '../chat/reducer'
import { useI18n, useT, type Translate } from '../i18n'
import type { Key } from '../i18n/strings'
import { clock, count } from '../lib/format'
import { chunk } from '../lib/lazy'
import { CopyButton } from './CodeBlock'
import { Comment } from './Comment'
import { useServices } from './context'
import { Custom, Reasoning, ToolCard } from './Parts'
import { buttonClass, cx, IconButton, primaryClass, Ticked } from './ui'

const Markdown = chunk(() => import('./Markdown'))

export interface Versions {
  /** The lines to choose from, and which is shown. */
  lines: number[]
  shown: number
  /** True when the question itself differs, so that the choice belongs to it. */
  edited: boolean
}

interface Props {
  id: string
  turn: Turn
  live?: Live
  versions?: Versions
  isLast: boolean
  /** An earlier version can be read, not continued. */
  readOnly: boolean
}

// The bar is always in the page, so that the keyboard and screen readers reach it; only the eye has it fade.
const BAR = 'flex items-center gap-0.5 transition-opacity group-hover:opacity-100 focus-within:opacity-100 pointer-coarse:opacity-100'
const SMALL = 'size-7 pointer-coarse:size-9'

export const TurnView = memo(function TurnView(props: Props) {
  const [editing, setEditing] = useState(false)
  return (
    <>
      {editing ? <EditMessage {...props} onEnd={() => setEditing(false)} /> : <UserMessage {...props} onEdit={() => setEditing(true)} />}
      <AssistantMessage {...props} />
    </>
  )
})

function File({ file }: { file: Attachment }) {
  if (file.mediaType.startsWith('image/') && file.data)
    return <img src={`data:${file.mediaType};base64,${file.data}`} alt={file.name} className="max-h-56 max-w-full rounded-xl border border-line object-contain" />
  return (
    <span className="flex max-w-60 items-center gap-2 rounded-lg border border-line bg-panel px-2.5 py-1.5 text-sm">
      <FileTextIcon aria-hidden className="size-4 shrink-0 text-dim" />
      <span className="truncate">{file.name}</span>
    </span>
  )
}

function Picker({ id, versions }: { id: string; versions: Versions }) {
  const t = useT()
  const { store } = useServices()
  const at = versions.lines.indexOf(versions.shown)
  const total = versions.lines.length
  const step = (by: number) => () => store.view(id, versions.lines[at + by])
  return (
    <span className="flex items-center text-xs text-dim tabular-nums">
      <IconButton label={t('previousVersion')} className={SMALL} disabled={at === 0} onClick={step(-1)}><ChevronLeftIcon className="rtl:-scale-x-100" /></IconButton>
      <span aria-hidden>{at + 1} / {total}</span>
      <span className="sr-only">{t('versionOf', { n: at + 1, total })}</span>
      <IconButton label={t('nextVersion')} className={SMALL} disabled={at === total - 1} onClick={step(1)}><ChevronRightIcon className="rtl:-scale-x-100" /></IconButton>
    </span>
  )
}

function UserMessage({ id, turn, live, versions, readOnly, onEdit }: Props & { onEdit(): void }) {
  const { t, language } = useI18n()
  return (
    <li className="group rise flex flex-col items-end gap-1 pt-4" data-role="user" data-turn={turn.key}>
      <h2 className="sr-only">{t('youSaid')}</h2>
      {turn.attachments.length > 0 && <div className="flex max-w-[85%] flex-wrap justify-end gap-2">{turn.attachments.map((file, i) => <File key={i} file={file} />)}</div>}
      {turn.text && (
        <div dir="auto" className="max-w-[85%] rounded-2xl rounded-ee-md bg-accent-soft px-4 py-2.5 text-[0.9375rem] leading-relaxed whitespace-pre-wrap [overflow-wrap:anywhere]">
          {turn.text}
        </div>
      )}
      <div className="flex min-h-7 items-center">
        <div className={cx(BAR, 'opacity-0')}>
          {turn.createdAt && <time dateTime={turn.createdAt} className="me-1.5 text-xs text-dim">{clock(turn.createdAt, language)}</time>}
          <CopyButton text={turn.text} label={t('copy')} className={SMALL} />
          {!live && !readOnly && <IconButton label={t('edit')} className={SMALL} onClick={onEdit}><PencilIcon /></IconButton>}
        </div>
        {versions?.edited && <Picker id={id} versions={versions} />}
      </div>
    </li>
  )
}

function EditMessage({ id, turn, onEnd }: Props & { onEnd(): void }) {
  const t = useT()
  const { store } = useServices()
  const [text, setText] = useState(turn.text)
  const save = () => {
    if (!text.trim() && turn.attachments.length === 0) return
    onEnd()
    store.edit(id, turn, text)
  }
  const keys = (e: KeyboardEvent) => {
    if (e.key === 'Escape') onEnd()
    if (e.key !== 'Enter' || e.shiftKey || e.nativeEvent.isComposing || matchMedia('(pointer: coarse)').matches) return
    e.preventDefault()
    save()
  }
  return (
    <li className="pt-4" data-role="user" data-turn={turn.key}>
      <div className="rounded-2xl border border-accent-text/60 bg-card p-3">
        <textarea autoFocus dir="auto" aria-label={t('editLabel')} value={text} onChange={(e) => setText(e.target.value)} onKeyDown={keys} className="field-sizing-content block max-h-80 w-full resize-none bg-transparent px-1 text-[0.9375rem] leading-relaxed outline-none" />
        <div className="mt-2 flex justify-end gap-2">
          <button type="button" onClick={onEnd} className={buttonClass}>{t('cancel')}</button>
          <button type="button" onClick={save} className={primaryClass}>{t('send')}</button>
        </div>
      </div>
    </li>
  )
}

const OUTCOMES: Record<string, Key> = {
  cancelled: 'stopped', max_tokens: 'maxTokens', max_steps: 'maxSteps', max_seconds: 'maxSeconds', refusal: 'refusal', guardrail: 'guardrail',
}

/** What the server says in English: in other languages these words stand before it. */
const MEANINGS: Record<string, Key> = {
  model_unavailable: 'errorModelDown', model_stream_cut: 'errorModelDown', model_protocol: 'errorModelDown', model_malformed_output: 'errorModelDown',
  model_timeout: 'errorModelSlow', model_throttled: 'errorModelBusy', model_refused_request: 'errorModelRefused', context_too_long: 'errorContext',
  internal: 'errorServer', overloaded: 'errorServer', draining: 'errorServer', store_unavailable: 'errorServer', run_not_started: 'errorServer', session_not_saved: 'errorServer',
}

const errorText = ({ code, message, retryAfter }: NonNullable<Answer['error']>, t: Translate): string => {
  if (code === 'no_answer') return t('errorNoAnswer')
  if (code === 'run_gone') return t('errorGone')
  if (code === 'run_lost') return t('errorLost')
  if (code === 'message_too_long' || code === 'body_too_large') return t('errorTooLong')
  if (code === 'rate_limited') return t('errorRate', { seconds: retryAfter ?? 1 })
  if (code === 'model_not_installed') return t('errorNotInstalled')
  return message || t('errorUnknown')
}

function Failure({ id, turn, readOnly }: { id: string; turn: Turn; readOnly: boolean }) {
  const { t, language } = useI18n()
  const { store, config } = useServices()
  const error = turn.answer.error
  if (!error) return null
  const meaning = language === 'en' ? undefined : MEANINGS[error.code ?? '']
  return (
    <div className="mt-3 flex flex-wrap items-center gap-x-3 gap-y-2 rounded-xl border border-danger/30 bg-danger-soft px-4 py-3 text-sm text-danger">
      <CircleAlertIcon aria-hidden className="size-4 shrink-0" />
      <div role="alert" className="min-w-0 flex-1 basis-[calc(100%-2rem)] [overflow-wrap:anywhere] first-letter:uppercase sm:basis-48">
        {meaning ? t(meaning) : errorText(error, t)}
        {meaning && error.message && <p lang="en" dir="ltr" className="mt-1 text-xs leading-relaxed text-ink">{error.message}</p>}
        {error.code === 'model_not_installed' && config.model.note && <p className="mt-1 text-xs leading-relaxed text-ink"><Ticked text={config.model.note} /></p>}
      </div>
      {!readOnly && (
        <button type="button" onClick={() => store.regenerate(id, turn)} className="rounded-lg border border-danger/40 px-2.5 py-1 max-sm:ms-7 font-medium hover:bg-danger/10">{t('tryAgain')}</button>
      )}
    </div>
  )
}

/** Three dots while nothing else on the message shows that work goes on. */
function Working({ answer }: { answer: Answer }) {
  const t = useT()
  const { config } = useServices()
  const last = answer.parts.at(-1)
  if (last?.type === 'text' || last?.type === 'reasoning') return null
  if (last?.type === 'tool' && (last.state === 'running' || last.state === 'writing')) return null
  return (
    <div role="img" aria-label={t('working', { name: config.agent.name })} className="flex h-7 items-center gap-1">
      {['', '[animation-delay:0.2s]', '[animation-delay:0.4s]'].map((delay) => <i key={delay} className={cx('size-1.5 animate-pulse rounded-full bg-dim', delay)} />)}
    </div>
  )
}

function Facts({ turn }: { turn: Turn }) {
  const { t, language } = useI18n()
  const { usage, model } = turn.answer
  const used = usage?.input_tokens !== undefined && t('tokens', { input: count(usage.input_tokens, language), output: count(usage.output_tokens ?? 0, language) })
  const cost = usage?.cost_usd !== undefined && new Intl.NumberFormat(language, { style: 'currency', currency: 'USD', maximumFractionDigits: 4 }).format(usage.cost_usd)
  const facts = [turn.answeredAt && clock(turn.answeredAt, language), used, cost, model].filter(Boolean)
  return <span className="ms-1.5 truncate text-xs text-dim tabular-nums opacity-0 transition-opacity group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100">{facts.join(' · ')}</span>
}

function AssistantMessage({ id, turn, live, versions, isLast, readOnly }: Props) {
  const t = useT()
  const { store, config } = useServices()
  const { answer } = turn
  const running = answer.status === 'running'
  const decide = useCallback((toolId: string, approved: boolean) => store.approve(id, turn, toolId, approved), [store, id, turn])
  const outcome = answer.outcome && OUTCOMES[answer.outcome]
  const [asked, setAsked] = useState<'up' | 'down'>()
  const rate = (rating: 'up' | 'down') => (setAsked(rating), void store.rate(id, turn, rating))
  // What waits for the reader's word is not an answer yet.
  const whole = answer.status === 'done' && answer.outcome !== 'interrupted'
  return (
    <li className="group min-w-0" data-role="assistant" data-status={answer.status} data-outcome={answer.outcome} aria-busy={running}>
      <h2 className="sr-only">{t('agentSaid', { name: config.agent.name })}</h2>
      {isAskedAnew(turn) && <p role="status" className="my-1 text-sm text-dim" data-asked-anew>{t('askedAnew')}</p>}
      {answer.parts.map((part, i) => {
        const newest = running && i === answer.parts.length - 1
        if (part.type === 'text')
          return (
            <Suspense key={i} fallback={<div className="prose-chat whitespace-pre-wrap">{part.text}</div>}>
              <div className="my-2"><Markdown text={part.text} running={newest} /></div>
            </Suspense>
          )
        if (part.type === 'reasoning') return <Reasoning key={i} text={part.text} running={newest} />
        if (part.type === 'tool') return <ToolCard key={i} part={part} onDecide={decide} />
        return <Custom key={i} name={part.name} data={part.data} />
      })}
      {running && <Working answer={answer} />}
      {outcome && (
        <p className="mt-2 flex items-center gap-3 text-sm text-dim">
          {t(outcome)}
          {isLast && !readOnly && answer.outcome?.startsWith('max_') && <button type="button" onClick={() => store.send(id, t('continueAnswer'))} className={cx(buttonClass, 'px-2.5 py-1')}>{t('continueAnswer')}</button>}
        </p>
      )}
      {answer.status === 'error' && <Failure id={id} turn={turn} readOnly={readOnly} />}
      <div className="mt-1 -ms-1.5 flex min-h-7 flex-wrap items-center">
        {!running && (
          <div className={cx(BAR, !isLast && 'opacity-0')}>
            <CopyButton text={() => answerText(answer)} label={t('copy')} className={SMALL} />
            {!live && !readOnly && answer.status === 'done' && <IconButton label={t('regenerate')} className={SMALL} onClick={() => store.regenerate(id, turn)}><RefreshCwIcon /></IconButton>}
            {turn.runId && whole && config.sessions && (
              <>
                <IconButton label={t('good')} aria-pressed={turn.feedback === 'up'} className={SMALL} onClick={() => rate('up')}><ThumbsUpIcon /></IconButton>
                <IconButton label={t('bad')} aria-pressed={turn.feedback === 'down'} className={SMALL} onClick={() => rate('down')}><ThumbsDownIcon /></IconButton>
              </>
            )}
          </div>
        )}
        {versions && !versions.edited && <Picker id={id} versions={versions} />}
        {!running && <Facts turn={turn} />}
      </div>
      {asked && <Comment key={asked} onDone={(comment) => (setAsked(undefined), comment && void store.rate(id, turn, asked, comment))} />}
    </li>
  )
}
