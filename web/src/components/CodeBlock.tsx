/** A block of code: its language, a copy button, and colours once the highlighter's chunk is here. */
import { CheckIcon, CopyIcon } from 'lucide-react'
import { memo, useDeferredValue, useEffect, useMemo, useState, type ReactNode } from 'react'
import { useT } from '../i18n'
import { copy } from '../lib/clipboard'
import { persist } from '../lib/lazy'
import { say } from '../lib/notice'
import { IconButton } from './ui'

type Highlight = (language: string, code: string) => ReactNode
let highlighter: Highlight | undefined

const useHighlighter = () => {
  const [, setReady] = useState(highlighter !== undefined)
  useEffect(() => {
    if (highlighter) return
    // Without it the code is shown plain, which is no failure worth a word.
    persist(() => import('../lib/highlight')).then((m) => ((highlighter = m.highlight), setReady(true))).catch(() => {})
  }, [])
  return highlighter
}

export function CopyButton({ text, label, className }: { text: string | (() => string); label: string; className?: string }) {
  const t = useT()
  const [copied, setCopied] = useState(false)
  const click = () =>
    void copy(typeof text === 'string' ? text : text()).then(
      () => {
        setCopied(true)
        setTimeout(() => setCopied(false), 2000)
      },
      () => say('copyFailed'),
    )
  return (
    <IconButton label={copied ? t('copied') : label} className={className} onClick={click}>
      {copied ? <CheckIcon /> : <CopyIcon />}
    </IconButton>
  )
}

export const CodeBlock = memo(function CodeBlock({ language, code }: { language: string; code: string }) {
  const t = useT()
  const highlight = useHighlighter()
  // The newest token shows at once; its colour may come a frame later.
  const settled = useDeferredValue(code)
  const coloured = useMemo(() => highlight?.(language, settled), [highlight, language, settled])
  return (
    <div className="my-4 overflow-hidden rounded-xl border border-line bg-code" dir="ltr">
      <div className="flex items-center justify-between border-b border-line py-0.5 ps-4 pe-1.5 text-xs text-dim">
        <span className="font-mono">{language || 'text'}</span>
        <CopyButton text={code} label={t('copyCode')} className="size-7 pointer-coarse:size-9" />
      </div>
      <pre tabIndex={0} role="region" aria-label={t('code', { language: language || 'text' })} className="scroll-thin overflow-x-auto px-4 py-3.5 font-mono text-[0.8125rem] leading-relaxed -outline-offset-2">
        <code>{settled === code && coloured ? coloured : code}</code>
      </pre>
    </div>
  )
})
