/** Times, sizes and durations in the reader's own way of writing them. */
import type { Key } from '../i18n/strings'

const DAY_MS = 86_400_000

/** How numbers and times are written in the interface's language where the reader lives: `en-GB`, not just `en`. */
const localeOf = (language: string): string => navigator.languages.find((l) => l.toLowerCase().split('-')[0] === language) ?? language

/** Which heading of the list a conversation belongs under. */
export const dayGroup = (updatedAt: string, now = new Date()): Key => {
  const midnight = new Date(now).setHours(0, 0, 0, 0)
  const t = new Date(updatedAt).getTime()
  if (t >= midnight) return 'today'
  if (t >= midnight - DAY_MS) return 'yesterday'
  if (t >= midnight - 7 * DAY_MS) return 'last7'
  return t >= midnight - 30 * DAY_MS ? 'last30' : 'older'
}

export const clock = (iso: string, language: string): string => {
  const date = new Date(iso)
  const today = new Date().toDateString() === date.toDateString()
  const day = today ? {} : ({ day: 'numeric', month: 'short' } as const)
  return new Intl.DateTimeFormat(localeOf(language), { ...day, hour: '2-digit', minute: '2-digit' }).format(date)
}

export const seconds = (ms: number, language: string): string =>
  ms < 1000
    ? `${Math.round(ms)} ms`
    : `${new Intl.NumberFormat(localeOf(language), { maximumFractionDigits: 1, minimumFractionDigits: ms < 10_000 ? 1 : 0 }).format(ms / 1000)} s`

export const count = (n: number, language: string): string => new Intl.NumberFormat(localeOf(language)).format(n)

export const bytes = (n: number, language: string): string => {
  const unit = n >= 1_000_000 ? 'megabyte' : 'kilobyte'
  const value = n >= 1_000_000 ? n / 1_000_000 : n / 1000
  return new Intl.NumberFormat(localeOf(language), { style: 'unit', unit, maximumFractionDigits: 1 }).format(value)
}

/** A tool's name as people would write it. */
export const humane = (name: string): string => name.replace(/[_-]+/g, ' ').replace(/^./, (c) => c.toUpperCase())

export const pretty = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value, null, 2) ?? ''))
