/** The interface's language: the reader's choice, else the browser's, else English. */
import { createContext, useContext, useMemo, useState, type ReactNode } from 'react'
import { read, write } from '../lib/storage'
import { LANGUAGES, strings, type Key, type Language } from './strings'

export type Translate = (key: Key, values?: Record<string, string | number>) => string

const preferred = (): Language => {
  const wanted = [read('language'), ...navigator.languages]
  const known = wanted.map((w) => (w ?? '').toLowerCase().split('-')[0] as Language).find((l) => l in LANGUAGES)
  return known ?? 'en'
}

export const translate =
  (language: Language): Translate =>
  (key, values = {}) =>
    strings[language][key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''))

interface Value {
  t: Translate
  language: Language
  setLanguage(language: Language): void
}
const Context = createContext<Value>({ t: translate('en'), language: 'en', setLanguage: () => {} })

export function I18n({ children }: { children: ReactNode }) {
  const [language, set] = useState(preferred)
  const value = useMemo<Value>(() => {
    document.documentElement.lang = language
    const setLanguage = (next: Language) => {
      write('language', next)
      set(next)
    }
    return { t: translate(language), language, setLanguage }
  }, [language])
  return <Context value={value}>{children}</Context>
}

export const useI18n = () => useContext(Context)
export const useT = () => useContext(Context).t
