/** Lets a screen reader hear an answer in sentences while it is written: tokens would be noise, the end alone too late. */
import { useEffect, useRef, useState } from 'react'
import { answerText, type Answer } from '../chat/reducer'
import { useI18n } from '../i18n'
import { useServices } from './context'

const EVERY_MS = 2500

/** Text as it is spoken: no marks, no code. */
export const spoken = (markdown: string): string =>
  markdown
    .replace(/```[\s\S]*?(```|$)/g, ' ')
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/[*`~]+|(?<!\w)_+|_+(?!\w)/g, '')
    .replace(/[#>|]+/g, ' ')
    .replace(/\s+/g, ' ')

/** How much of the text is whole sentences. */
export const wholeSentences = (text: string, language: string): number => {
  const segments = [...new Intl.Segmenter(language, { granularity: 'sentence' }).segment(text)]
  const last = segments.at(-1)
  if (!last) return 0
  return /[.!?。！？]\s*$/.test(last.segment) ? text.length : last.index
}

export function Announcer({ answer }: { answer: Answer | undefined }) {
  const { t, language } = useI18n()
  const { config } = useServices()
  const [lines, setLines] = useState<{ id: number; text: string }[]>([])
  const said = useRef(0)
  const counter = useRef(0)
  const latest = useRef(answer)
  latest.current = answer
  const running = answer?.status === 'running'

  useEffect(() => {
    const say = (text: string) => text.trim() && setLines((before) => [...before.slice(-3), { id: counter.current++, text: text.trim() }])
    if (!running) return
    said.current = 0
    say(t('answering', { name: config.agent.name }))
    const speak = (all: boolean) => {
      const text = spoken(latest.current ? answerText(latest.current) : '')
      const end = all ? text.length : wholeSentences(text, language)
      if (end > said.current) say(text.slice(said.current, end))
      said.current = Math.max(said.current, end)
    }
    const timer = setInterval(() => speak(false), EVERY_MS)
    return () => {
      clearInterval(timer)
      speak(true)
      if (latest.current?.status === 'done') say(t('answered'))
    }
  }, [running, t, language, config.agent.name])

  return (
    <div role="log" aria-live="polite" aria-relevant="additions" aria-label={t('conversation')} className="sr-only">
      {lines.map((line) => <p key={line.id}>{line.text}</p>)}
    </div>
  )
}
