/** The parts of an answer that are not its text: reasoning, tool calls with their approvals, and what tools sent. */
import { BrainIcon, CheckIcon, ChevronRightIcon, CircleAlertIcon, CircleSlashIcon, HourglassIcon, ShieldQuestionIcon, WrenchIcon } from 'lucide-react'
import { memo, useEffect, useId, useRef, useState, type ReactNode } from 'react'
import { isRefused, type ToolPart, type ToolState } from '../chat/reducer'
import { useI18n, useT } from '../i18n'
import type { Key } from '../i18n/strings'
import { clock, humane, pretty, seconds } from '../lib/format'
import { useServices } from './context'
import { buttonClass, cx, primaryClass, Spinner } from './ui'

const Chevron = ({ open }: { open: boolean }) => (
  <ChevronRightIcon aria-hidden className={cx('size-4 shrink-0 text-dim transition-transform rtl:-scale-x-100', open && 'rotate-90 rtl:-rotate-90')} />
)

/** Open while it streams, folded once the answer goes on, unless the reader chose otherwise. */
export const Reasoning = memo(function Reasoning({ text, running }: { text: string; running: boolean }) {
  const t = useT()
  const id = useId()
  const [chosen, setChosen] = useState<boolean>()
  const [took, setTook] = useState<number>()
  const started = useRef(0)
  useEffect(() => {
    if (running) started.current ||= Date.now()
    else if (started.current) setTook(Math.max(1, Math.round((Date.now() - started.current) / 1000)))
  }, [running])
  const open = chosen ?? running
  return (
    <div className="my-2" data-part="reasoning">
      <button type="button" aria-expanded={open} aria-controls={id} onClick={() => setChosen(!open)} className="-ms-1 flex items-center gap-2 rounded-lg px-1 py-1 text-sm text-dim hover:text-ink">
        <BrainIcon aria-hidden className="size-4" />
        <span className={cx(running && 'shimmer')}>{running ? t('thinking') : took ? t('thoughtFor', { seconds: took }) : t('thoughts')}</span>
        <Chevron open={open} />
      </button>
      <div id={id} hidden={!open} className="mt-1 ms-1.5 border-s-2 border-line ps-4 text-sm leading-relaxed whitespace-pre-wrap text-dim" dir="auto">
        {open && text}
      </div>
    </div>
  )
})

function Block({ label, children, danger, id }: { label: string; children: string; danger?: boolean; id?: string }) {
  return (
    <div>
      <div className="mb-1 text-xs font-medium text-dim">{label}</div>
      <pre tabIndex={0} role="region" aria-label={label} dir="ltr" className={cx('scroll-thin max-h-64 overflow-auto rounded-lg border border-line bg-code p-3 font-mono text-xs leading-relaxed whitespace-pre-wrap [overflow-wrap:anywhere]', danger && 'text-danger')}>
        <span id={id}>{children}</span>
      </pre>
    </div>
  )
}

const LABEL: Record<ToolState, Key> = {
  writing: 'toolWriting', running: 'toolRunning', approval: 'toolWaiting', client: 'toolElsewhere', done: 'toolDone', failed: 'toolFailed', stopped: 'toolStopped',
}

function State({ part }: { part: ToolPart }) {
  const { t, language } = useI18n()
  const time = part.durationMs === undefined ? '' : seconds(part.durationMs, language)
  const icon: Record<ToolState, ReactNode> = {
    writing: <Spinner />,
    running: <Spinner />,
    approval: <ShieldQuestionIcon aria-hidden className="size-3.5" />,
    client: <HourglassIcon aria-hidden className="size-3.5" />,
    done: <CheckIcon aria-hidden className="size-3.5" />,
    failed: <CircleAlertIcon aria-hidden className="size-3.5" />,
    stopped: <CircleSlashIcon aria-hidden className="size-3.5" />,
  }
  // Not a failure: what the reader decided.
  if (isRefused(part)) return <span className="flex shrink-0 items-center gap-1.5 text-xs text-dim">{icon.stopped}{t('denied')}</span>
  const tone = { writing: 'text-dim', running: 'text-dim', approval: 'text-warn', client: 'text-dim', done: 'text-ok', failed: 'text-danger', stopped: 'text-dim' }[part.state]
  return (
    <span className={cx('flex shrink-0 items-center gap-1.5 text-xs tabular-nums', tone)}>
      {icon[part.state]}
      {part.state === 'done' && time ? <><span className="sr-only">{t('toolDone')}</span>{time}</> : t(LABEL[part.state])}
      {part.state === 'failed' && time && ` · ${time}`}
    </span>
  )
}

function Progress({ progress }: { progress: NonNullable<ToolPart['progress']> }) {
  const { progress: done, total, message } = progress
  return (
    <div className="border-t border-line px-3.5 py-2.5 text-sm text-dim">
      {message && <p dir="auto" className="truncate">{message}</p>}
      {done !== undefined && total !== undefined && total > 0 && (
        <progress value={done} max={total} aria-label={message ?? String(done)} className="mt-1.5 block h-1.5 w-full appearance-none overflow-hidden rounded-full bg-soft [&::-moz-progress-bar]:bg-accent [&::-webkit-progress-bar]:bg-soft [&::-webkit-progress-value]:rounded-full [&::-webkit-progress-value]:bg-accent" />
      )}
    </div>
  )
}

/** Timers take no longer times. */
const LONGEST_MS = 2 ** 31 - 1

/** Whether a time is over: from the moment on that it is. */
function useOver(iso: string | undefined): boolean {
  const at = iso === undefined ? NaN : Date.parse(iso)
  const [now, setNow] = useState(Date.now)
  const over = at <= now
  useEffect(() => {
    if (over || Number.isNaN(at)) return
    const timer = setTimeout(() => setNow(Date.now()), Math.min(Math.max(at - Date.now(), 0) + 1, LONGEST_MS))
    return () => clearTimeout(timer)
  }, [at, over, now])
  return over
}

/** Says exactly what will run, and waits until the time for an answer is over. */
function Approval({ part, onDecide }: { part: ToolPart; onDecide(approved: boolean): void }) {
  const { t, language } = useI18n()
  const { config } = useServices()
  const decision = part.approval?.decision
  const over = useOver(part.approval?.expiresAt) && decision === undefined
  const exactly = useId()
  const described = `${exactly}-what ${exactly}-with`
  const [before, after] = t('approveQuestion', { name: config.agent.name, tool: '\n' }).split('\n')
  return (
    <div role="group" aria-label={t('toolWaiting')} className="space-y-3 border-t border-line p-3.5 text-sm">
      <p id={`${exactly}-what`}>
        {before}
        <code className="rounded-md bg-soft px-1.5 py-0.5 font-mono text-[0.86em]">{part.name}</code>
        {after}
      </p>
      <Block label={t('toolInput')} id={`${exactly}-with`}>{pretty(part.input ?? part.inputText)}</Block>
      {part.approval?.reason && <p dir="auto" className="text-dim">{part.approval.reason}</p>}
      <div className="flex flex-wrap items-center gap-2">
        {decision === undefined ? (
          <>
            <button type="button" aria-describedby={described} disabled={over} onClick={() => onDecide(true)} className={cx(primaryClass, '[overflow-wrap:anywhere]')}>{t('approve', { tool: part.name })}</button>
            <button type="button" aria-describedby={described} disabled={over} onClick={() => onDecide(false)} className={buttonClass}>{t('deny')}</button>
          </>
        ) : (
          <p role="status" className="font-medium">{t(decision)}</p>
        )}
        {part.approval?.expiresAt && !over && <span className="ms-auto text-xs text-dim">{t('expires', { time: clock(part.approval.expiresAt, language) })}</span>}
      </div>
      {over && <p role="status" className="text-dim">{t('expired')}</p>}
    </div>
  )
}

/** The input's values in a line, so that the folded card says what was asked. */
const summary = (input: unknown): string =>
  typeof input === 'object' && input !== null
    ? Object.values(input).filter((v) => typeof v === 'string' || typeof v === 'number').join(' · ').slice(0, 120)
    : ''

export const ToolCard = memo(function ToolCard({ part, onDecide }: { part: ToolPart; onDecide(id: string, approved: boolean): void }) {
  const t = useT()
  const id = useId()
  const [open, setOpen] = useState(false)
  const waits = part.state === 'approval'
  const input = part.input === undefined ? part.inputText : pretty(part.input)
  return (
    <div data-tool={part.name} data-state={part.state} className={cx('my-2.5 overflow-hidden rounded-xl border bg-card', waits ? 'border-warn/50' : 'border-line')}>
      <button type="button" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)} className="flex w-full items-center gap-3 px-3.5 py-2.5 text-start text-sm -outline-offset-2 hover:bg-soft/60">
        <span className={cx('grid size-7 shrink-0 place-items-center rounded-lg [&_svg]:size-4', part.state === 'failed' && !isRefused(part) ? 'bg-danger-soft text-danger' : waits ? 'bg-soft text-warn' : 'bg-soft text-dim')}>
          <WrenchIcon aria-hidden />
        </span>
        <span className="min-w-0 flex-1 truncate">
          <span className="font-medium">{humane(part.name)}</span>
          <span dir="auto" className="ms-2 text-dim">{summary(part.input)}</span>
        </span>
        <State part={part} />
        <Chevron open={open} />
      </button>
      {part.progress && part.state === 'running' && <Progress progress={part.progress} />}
      {waits && <Approval part={part} onDecide={(approved) => onDecide(part.id, approved)} />}
      <div id={id} hidden={!open} className="space-y-3 border-t border-line p-3.5">
        {open && input && !waits && <Block label={t('toolInput')}>{input}</Block>}
        {open && part.output !== undefined && (
          <Block label={t(part.state === 'failed' ? 'toolError' : 'toolResult')} danger={part.state === 'failed'}>{pretty(part.output)}</Block>
        )}
      </div>
    </div>
  )
})

/** An event that a tool sent to the page by its own name. */
export const Custom = memo(function Custom({ name, data }: { name: string; data: unknown }) {
  return (
    <details className="my-2 rounded-xl border border-line bg-card text-sm" data-custom={name}>
      <summary className="px-3.5 py-2 text-dim">{humane(name)}</summary>
      <pre dir="ltr" tabIndex={0} className="scroll-thin max-h-64 overflow-auto border-t border-line p-3.5 font-mono text-xs whitespace-pre-wrap [overflow-wrap:anywhere]">{pretty(data)}</pre>
    </details>
  )
})
