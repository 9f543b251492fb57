/** Light, dark or the system's choice, and the agent's own accent colour. */
import { useEffect, useState } from 'react'
import { read, write } from './storage'

export type Theme = 'light' | 'dark' | 'system'

const stored = (): Theme => (read('theme') as Theme | null) ?? 'system'
/** Beside the storage, which may be blocked. */
let chosen = stored()

const apply = () => {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches
  document.documentElement.classList.toggle('dark', chosen === 'dark' || (chosen === 'system' && dark))
}

/** Goes along, for as long as the page stands, when the system changes or the reader chooses in another tab. */
export function followTheme(): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', apply)
  addEventListener('storage', (e) => {
    if (e.key !== 'theme') return
    chosen = stored()
    apply()
  })
}

export function useTheme() {
  const [theme, set] = useState(chosen)
  const choose = (next: Theme) => {
    chosen = next
    write('theme', next === 'system' ? null : next)
    apply()
    set(next)
  }
  return [theme, choose] as const
}

const linear = (channel: number) => {
  const c = channel / 255
  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
}

/** Relative luminance as WCAG defines it. */
export const luminance = ([r, g, b]: readonly [number, number, number]): number =>
  0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)

/** The more legible of white and near-black on a colour of this luminance. */
export const inkOn = (l: number): string => (1.05 / (l + 0.05) >= (l + 0.05) / 0.055 ? '#ffffff' : '#1c1712')

/** Sets the accent where the browser can read the colour; anything else leaves the default. */
export function useAccent(accent: string | undefined) {
  useEffect(() => {
    const context = accent && CSS.supports('color', accent) ? document.createElement('canvas').getContext('2d') : null
    if (!accent || !context) return
    context.fillStyle = accent
    context.fillRect(0, 0, 1, 1)
    const [r = 0, g = 0, b = 0] = context.getImageData(0, 0, 1, 1).data
    const { style } = document.documentElement
    style.setProperty('--accent', accent)
    style.setProperty('--accent-ink', inkOn(luminance([r, g, b])))
  }, [accent])
}
