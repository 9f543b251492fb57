// What the page costs its reader: bytes until it can be used, first paint, and how long its longest tasks are while an
// answer streams in. `node measure.mjs URL MESSAGE` prints one line of JSON; CHROMIUM names the browser. Used by `cargo xtask bench`.
import { chromium } from '@playwright/test'

const [url, words] = process.argv.slice(2)
if (!url || !words) throw new Error('usage: node measure.mjs URL MESSAGE')
const ROUNDS = 5

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
})

/** A visit with an empty cache. */
async function visit() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: 'en-GB' })
  const page = await context.newPage()
  await page.goto(url)
  await page.getByRole('textbox').first().waitFor()
  await page.waitForLoadState('networkidle')
  return page
}

const paints = []
let bytes = 0
for (let round = 0; round < ROUNDS; round++) {
  const page = await visit()
  paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime))
  bytes = await page.evaluate(() =>
    [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
      .reduce((sum, entry) => sum + entry.transferSize, 0))
  await page.context().close()
}

const page = await visit()
await page.evaluate(() => {
  const tasks = []
  Object.assign(window, { tasks })
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: 'longtask' })
})
const box = page.getByRole('textbox').first()
await box.fill(words)
await box.press('Enter')
// The button comes with the end of the answer.
await page.getByRole('button', { name: 'Regenerate answer' }).waitFor({ timeout: 60_000 })
const [tasks, characters] = await page.evaluate(() => [window.tasks, document.querySelector('[data-role=assistant]').innerText.length])
await browser.close()
paints.sort((a, b) => a - b)
console.log(JSON.stringify({
  bytes,
  first_paint_ms: paints[Math.floor(ROUNDS / 2)],
  characters,
  long_tasks: tasks.length,
  longest_ms: Math.max(0, ...tasks),
}))
