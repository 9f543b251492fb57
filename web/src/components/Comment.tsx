/** After a rating: a word on why, for whoever likes to say it. */
import { useState } from 'react'
import { useT } from '../i18n'
import { buttonClass, cx } from './ui'

export function Comment({ onDone }: { onDone: (comment: string) => void }) {
  const t = useT()
  const [text, setText] = useState('')
  return (
    <form
      className="mt-1 mb-2 flex w-full max-w-md gap-2"
      onSubmit={(e) => (e.preventDefault(), onDone(text.trim()))}
      onKeyDown={(e) => e.key === 'Escape' && onDone('')}
    >
      <input dir="auto" aria-label={t('why')} placeholder={t('why')} maxLength={1000} value={text} onChange={(e) => setText(e.target.value)} className="min-w-0 flex-1 rounded-lg border border-line bg-bg px-2.5 py-1 text-base sm:text-sm" />
      <button type="submit" disabled={!text.trim()} className={cx(buttonClass, 'px-2.5 py-1 disabled:opacity-50')}>{t('comment')}</button>
    </form>
  )
}
