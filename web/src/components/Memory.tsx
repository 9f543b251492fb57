/** What the agent has kept about the reader, for the reader to see and to delete. */
import { Trash2Icon } from 'lucide-react'
import { useEffect, useState } from 'react'
import type { Fact } from '../api/types'
import { useI18n } from '../i18n'
import { clock } from '../lib/format'
import { useServices } from './context'
import { buttonClass, IconButton, Modal, Spinner } from './ui'

export function Memory({ open, onClose }: { open: boolean; onClose(): void }) {
  const { t } = useI18n()
  const { config } = useServices()
  const title = t('memory', { name: config.agent.name })
  return (
    <Modal open={open} onClose={onClose} label={title} className="m-auto max-h-[80dvh] w-[min(32rem,calc(100vw-2rem))] rounded-2xl border bg-card! p-6 shadow-xl">
      <h2 className="font-semibold">{title}</h2>
      <p className="mt-2 text-sm text-dim">{t('memoryAbout')}</p>
      <Facts onClose={onClose} />
    </Modal>
  )
}

function Facts({ onClose }: { onClose(): void }) {
  const { t, language } = useI18n()
  const { api } = useServices()
  const [facts, setFacts] = useState<Fact[]>()
  const [failed, setFailed] = useState(false)
  // What the server says after a change is what stands there: nothing looks forgotten that is not.
  const look = (before: Promise<unknown> = Promise.resolve()) =>
    void before
      .then(() => api.facts())
      .then((now) => (setFacts(now), setFailed(false)), () => setFailed(true))
  useEffect(() => look(), [])
  return (
    <>
      {failed && <p role="alert" className="mt-4 text-sm text-danger">{t('memoryFailed')}</p>}
      {!facts && !failed && <Spinner className="mt-4 size-5" />}
      {facts?.length === 0 && <p role="status" className="mt-4 text-sm">{t('memoryEmpty')}</p>}
      <ul className="mt-4 space-y-1">
        {facts?.map((fact) => (
          <li key={fact.id} className="flex items-center gap-3 rounded-lg border border-line py-1.5 ps-3 pe-1.5 text-sm">
            <span dir="auto" className="min-w-0 flex-1 [overflow-wrap:anywhere]">{fact.text}</span>
            <time dateTime={fact.created_at} className="shrink-0 text-xs text-dim">{clock(fact.created_at, language)}</time>
            <IconButton label={t('forget', { fact: fact.text })} onClick={() => look(api.forget(fact.id))}><Trash2Icon /></IconButton>
          </li>
        ))}
      </ul>
      <div className="mt-5 flex justify-end gap-2">
        {facts && facts.length > 0 && <button type="button" onClick={() => look(api.forget())} className={buttonClass}>{t('forgetAll')}</button>}
        <button type="button" autoFocus onClick={onClose} className={buttonClass}>{t('close')}</button>
      </div>
    </>
  )
}
