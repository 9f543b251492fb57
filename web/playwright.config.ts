import { existsSync } from 'node:fs'
import { defineConfig, devices } from '@playwright/test'

// The system's own browser: `npx playwright install` would download another. No name but the loopback address resolves,
// so a request to a foreign host fails the test.
const launchOptions = {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
}
if (!existsSync(launchOptions.executablePath))
  throw new Error(`${launchOptions.executablePath} is missing: apt-get install -y --no-install-recommends chromium fonts-inter fonts-noto-core fonts-noto-color-emoji`)

export default defineConfig({
  testDir: 'e2e',
  outputDir: 'test-results',
  workers: 2,
  retries: 0,
  timeout: 40_000,
  expect: { timeout: 10_000 },
  reporter: [['list'], ['./e2e/reporter.ts']],
  use: { launchOptions, locale: 'en-GB', permissions: ['clipboard-read', 'clipboard-write'] },
  projects: [
    { name: 'desktop', use: { viewport: { width: 1280, height: 860 } } },
    { name: 'phone', testIgnore: /embedded\.spec\.ts/, use: { ...devices['Pixel 7'], defaultBrowserType: 'chromium' } },
  ],
})
