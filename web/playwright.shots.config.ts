import { defineConfig } from '@playwright/test'
import base from './playwright.config'

const desktop = { viewport: { width: 1280, height: 860 }, deviceScaleFactor: 2 }
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true }

export default defineConfig({
  ...base,
  testMatch: /shots\.ts/,
  outputDir: 'test-results/shots-run',
  reporter: [['list']],
  use: { ...base.use, contextOptions: { reducedMotion: 'reduce' } },
  projects: (['light', 'dark'] as const).flatMap((colorScheme) => [
    { name: `${colorScheme}-desktop`, use: { ...desktop, colorScheme } },
    { name: `${colorScheme}-phone`, use: { ...phone, colorScheme } },
  ]),
})
