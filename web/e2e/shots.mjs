// Pictures of the page: eight states, light and dark, desktop and phone, with the stand-in server's fixed answers.
// node e2e/shots.mjs [folder] [only states whose name contains this]
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { chromium } from '@playwright/test'

const [folder = resolve(import.meta.dirname, '../test-results/shots'), only = ''] = process.argv.slice(2)
mkdirSync(folder, { recursive: true })

const freePort = () =>
  new Promise((done) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => done(port))
    })
  })

/** Starts the stand-in, hands its address to `use`, and ends it. */
async function withServer(env, use) {
  const port = await freePort()
  const child = spawn(process.execPath, [resolve(import.meta.dirname, '../test/mock-server.mjs')], {
    env: { ...process.env, PORT: String(port), DELAY_MS: '4', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((up) => child.stdout.once('data', up))
  try {
    return await use(`http://127.0.0.1:${port}`)
  } finally {
    child.kill()
  }
}

const message = (page) => page.getByRole('textbox', { name: 'Message', exact: true })
const ask = async (page, text, { wait = true } = {}) => {
  await message(page).fill(text)
  await page.getByRole('button', { name: 'Send message' }).click()
  if (wait) await page.getByRole('button', { name: 'Send message' }).waitFor()
}

const toTop = (page) => page.evaluate(() => document.querySelector('main ol')?.parentElement?.scrollTo(0, 0))

/** The states: a name, how to get there, and where the server has to be another one. */
const STATES = [
  { name: '1-start', act: async () => {} },
  {
    name: '2-answer',
    act: async (page) => {
      await ask(page, 'Check the latency and health of the agent')
      await page.locator('.hljs-keyword').first().waitFor()
      await toTop(page)
    },
  },
  {
    name: '3-tools',
    act: async (page) => {
      await ask(page, 'Check the tools, one is broken', { wait: false })
      await page.locator('[data-tool=restart_service][data-state=failed]').waitFor()
      await page.locator('[data-tool=query_metrics] button').first().click()
      await toTop(page)
    },
  },
  {
    name: '4-approval',
    act: async (page) => {
      await ask(page, 'Restart the worker service')
      await page.getByRole('button', { name: 'Allow', exact: true }).waitFor()
    },
  },
  {
    name: '5-formula',
    act: async (page) => {
      await ask(page, 'Derive the quadratic formula')
      await page.locator('.katex-display').first().waitFor()
    },
  },
  {
    name: '6-error',
    act: async (page) => {
      await ask(page, 'Please fail')
      await page.getByRole('alert').waitFor()
    },
  },
  {
    name: '7-list',
    act: async (page, { phone }) => {
      await ask(page, 'hi')
      if (phone) await page.getByRole('button', { name: 'Open conversations' }).click()
      else await page.getByRole('button', { name: /^Options for Rotate/ }).click({ force: true })
    },
  },
  { name: '8-not-installed', env: { NOT_INSTALLED: '1' }, act: async () => {} },
]

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
})
const problems = []
let taken = 0
for (const { name, env = {}, act } of STATES.filter((s) => s.name.includes(only)))
  for (const scheme of ['light', 'dark'])
    for (const phone of [false, true])
      // A server of its own for each picture: none shows what another has left.
      await withServer(env, async (url) => {
        const viewport = phone ? { width: 390, height: 844 } : { width: 1280, height: 860 }
        const context = await browser.newContext({ viewport, colorScheme: scheme, deviceScaleFactor: 2, hasTouch: phone, isMobile: phone, reducedMotion: 'reduce', locale: 'en-GB' })
        const page = await context.newPage()
        page.on('console', (m) => m.type() === 'error' && problems.push(`${name}: ${m.text()}`))
        page.on('pageerror', (e) => problems.push(`${name}: ${e.message}`))
        await page.goto(url)
        await message(page).waitFor()
        await page.evaluate(() => document.fonts.ready)
        await act(page, { phone })
        // Buttons that the last click left hovered or focused would differ from run to run.
        if (!name.startsWith('7')) await page.mouse.move(0, 0)
        await page.screenshot({ path: join(folder, `${name}-${scheme}-${phone ? 'phone' : 'desktop'}.png`), animations: 'disabled' })
        taken += 1
        await context.close()
      })
await browser.close()
if (problems.length > 0) {
  console.error([...new Set(problems)].join('\n'))
  process.exit(1)
}
console.log(`${taken} screenshots in ${folder}`)
