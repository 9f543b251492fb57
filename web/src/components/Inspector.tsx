/** A run as it went over the wire: figures, time line and raw frames, for whoever writes the agent. */
import { XIcon } from 'lucide-react'
import { useEffect, useMemo, useState } from 'react'
import type { Conversation } from '../chat/store'
import { figures, type Span, type Trace } from '../chat/trace'
import { useI18n } from '../i18n'
import { count, seconds } from '../lib/format'
import { useServices } from './context'
import { cx, IconButton } from './ui'

/** More than this would be slow to draw; the newest are what matters. */
const SHOWN = 400

const COLOURS: Record<Span['kind'], string> = { text: 'bg-accent', reasoning: 'bg-dim', tool: 'bg-ok', failed: 'bg-danger' }

export default function Inspector({ conversation, onClose }: { conversation: Conversation | undefined; onClose(): void }) {
  const { t, language } = useI18n()
  const { store } = useServices()
  const [chosen, setChosen] = useState<string>()
  const [, look] = useState(0)
  const runs = (conversation?.turns ?? []).flatMap(({ runId, text }) => (runId === undefined ? [] : [{ runId, title: text }]))
  const wanted = (runs.find(({ runId }) => runId === chosen) ?? runs.at(-1))?.runId
  const shown = wanted === undefined ? undefined : store.traces.runs.get(wanted)
  // What ran before this page was loaded, or elsewhere, is read from its log.
  useEffect(() => {
    if (wanted !== undefined) void store.inspect(wanted).then(() => look((n) => n + 1))
  }, [wanted, store])
  return (
    <section aria-label={t('inspector')} className="flex h-full min-h-0 flex-col bg-panel text-sm">
      <header className="flex h-14 shrink-0 items-center gap-2 px-4">
        <h2 className="min-w-0 flex-1 truncate font-semibold">{t('inspector')}</h2>
        <IconButton label={t('close')} onClick={onClose}><XIcon /></IconButton>
      </header>
      {runs.length > 1 && (
        <select aria-label={t('conversation')} value={wanted} onChange={(e) => setChosen(e.target.value)} className="mx-4 mb-3 rounded-lg border border-line bg-card px-2 py-1.5">
          {runs.map(({ runId, title }) => <option key={runId} value={runId}>{title.slice(0, 60)}</option>)}
        </select>
      )}
      {shown === undefined ? <p className="px-4 text-dim">{t('noRun')}</p> : <Run trace={shown} frames={shown.frames.length} language={language} />}
    </section>
  )
}

function Run({ trace, frames, language }: { trace: Trace; frames: number; language: string }) {
  const { t } = useI18n()
  // The trace grows in place; its length says when to look again.
  const f = useMemo(() => figures(trace), [trace, frames])
  const facts = [
    [t('firstToken'), f.firstTokenMs === undefined ? '–' : seconds(f.firstTokenMs, language)],
    [t('rate'), f.tokensPerSecond === undefined ? '–' : count(Math.round(f.tokensPerSecond), language)],
    [t('total'), seconds(f.totalMs, language)],
    [t('events'), count(frames, language)],
  ] as const
  const percent = (ms: number) => `${(100 * ms) / Math.max(1, f.totalMs)}%`
  return (
    <div className="scroll-thin min-h-0 flex-1 overflow-y-auto px-4 pb-4" tabIndex={0} role="region" aria-label={t('events')}>
      <dl className="grid grid-cols-2 gap-2">
        {facts.map(([label, value]) => (
          <div key={label} className="rounded-lg border border-line bg-card px-3 py-2">
            <dt className="text-xs text-dim">{label}</dt>
            <dd className="font-medium tabular-nums">{value}</dd>
          </div>
        ))}
      </dl>
      <p className="mt-2 truncate font-mono text-xs text-dim" dir="ltr">{trace.runId}</p>
      {trace.joined && <p className="mt-1 text-xs text-dim">{t('replayed')}</p>}
      <h3 className="mt-4 mb-2 text-xs font-medium text-dim">{t('timeline')}</h3>
      <ul className="space-y-1" dir="ltr">
        {f.spans.slice(-60).map((span, i) => (
          <li key={i} className="grid grid-cols-[6.5rem_1fr_3.5rem] items-center gap-2 text-xs">
            <span className="truncate">{span.label}</span>
            <span className="relative h-2 rounded-full bg-soft">
              <i className={cx('absolute inset-y-0 min-w-0.5 rounded-full', COLOURS[span.kind])} style={{ left: percent(span.from), width: percent(span.to - span.from) }} />
            </span>
            <span className="text-end text-dim tabular-nums">{seconds(span.to - span.from, language)}</span>
          </li>
        ))}
      </ul>
      <h3 className="mt-4 mb-2 text-xs font-medium text-dim">{t('events')}</h3>
      <ol className="font-mono text-xs" dir="ltr">
        {trace.frames.slice(-SHOWN).map((frame, i) => (
          <li key={i} className="border-b border-line/60">
            <details>
              <summary className="flex gap-2 py-1">
                <span className="w-14 shrink-0 text-end text-dim tabular-nums">{Math.round(frame.at - trace.startedAt)} ms</span>
                <span className="w-8 shrink-0 text-end text-dim tabular-nums">{frame.id}</span>
                <span className="w-24 shrink-0 truncate text-accent-text">{frame.event}</span>
                <span className="truncate text-dim">{frame.raw}</span>
              </summary>
              <pre className="py-1 whitespace-pre-wrap [overflow-wrap:anywhere]">{frame.raw}</pre>
            </details>
          </li>
        ))}
      </ol>
    </div>
  )
}
