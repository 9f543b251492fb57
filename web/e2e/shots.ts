/**
 * Pictures of the page, for the README and for looking at: `npm run shots`, or `cargo xtask shots`. Eight states, light
 * and dark, desktop and phone, of the real program with a model and tools that say what is written here.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Page } from '@playwright/test'
import { TestModel } from './model'
import { Server } from './server'
import { ask, expect, finished, last, message, test as base, watch, words } from './support'
import { TestTools } from './tools'

const FOLDER = join(import.meta.dirname, '../test-results/shots')
const PAGE = `[page]
name = "Ada"
greeting = "What shall we look into?"
suggestions = ["Is the checkout service healthy?", "Explain last night’s alarm", "Draft the incident report", "Compare our two regions"]
`
const KEY = 'loquat_an-example-key-for-the-pictures-only'

/** Title, question's age in hours, and what was said. */
const EARLIER: [title: string, hours: number, answer: string][] = [
  ['Plan the quarterly review', 24 * 20, 'Three sections should do.'],
  ['S3 lifecycle rules', 24 * 6, 'Expire them after 24 hours.'],
  ['Draft the incident report', 24 * 5, 'Here is a draft.'],
  ['Sliding window or summarising?', 30, 'Start with the sliding window.'],
  ['Rotate the signing keys', 26, 'Publish the new key first, then switch signing.'],
  ['Cold starts on provisioned Lambda', 2, 'Mostly the time that imports take.'],
]

const REPORT = `Checkout is healthy. Its 95th percentile is *within* budget, and no alarm has fired since 02:14.

| Metric | Last hour | Budget |
|:--|--:|--:|
| p50 latency | 412 ms | 800 ms |
| p95 latency | 1.9 s | 2.5 s |
| Error rate | 0.04 % | 0.5 % |

The peak at 02:14 came from one slow query. A bound on its time keeps the others going:

\`\`\`rust
/// The orders of a customer, newest first.
async fn orders(db: &Pool, customer: Id) -> Result<Vec<Order>, Error> {
    let query = db.prepare(ORDERS).await?;
    timeout(Duration::from_secs(2), query.rows(&[&customer])).await?
}
\`\`\`

To see it for yourself:

1. Open the dashboard and filter by \`service = checkout\`.
2. Compare both curves; the [runbook](https://example.com/runbook) says what is normal.
`
const FORMULA = `Start from $ax^2 + bx + c = 0$ with $a \\neq 0$ and complete the square:

$$
\\left(x + \\frac{b}{2a}\\right)^2 = \\frac{b^2 - 4ac}{4a^2}
$$

Taking the root gives the two solutions

\\[ x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a} \\]

The discriminant \\(b^2 - 4ac\\) decides how many of them are real.
`

const test = base.extend<{ shot: (name: string) => Promise<void> }, { tools: TestTools }>({
  tools: [
    async ({}, use) => {
      const tools = await TestTools.start('query_metrics', 'list_alarms', 'export_traces', 'restart_service')
      await use(tools)
      tools.stop()
    },
    { scope: 'worker' },
  ],
  server: [
    async ({ model, tools }, use) => {
      const server = await Server.start(model.url, `${PAGE}[tool.restart_service]\nneeds_approval = true\n${tools.toml}`)
      await remember(server, model)
      await use(server)
      await server.stop()
    },
    { scope: 'worker' },
  ],
  // What a picture shows of the list must not depend on when it is taken, so what the server says of its age is changed.
  page: async ({ page }, use) => {
    await page.route(/\/sessions\?/, async (route) => {
      const response = await route.fetch()
      const body = (await response.json()) as { sessions: { title: string; updated_at: string }[] }
      for (const session of body.sessions) {
        const hours = EARLIER.find(([title]) => title === session.title)?.[1]
        if (hours !== undefined) session.updated_at = new Date(Date.now() - hours * 3_600_000).toISOString()
      }
      await route.fulfill({ response, json: body })
    })
    await use(page)
    await page.unrouteAll({ behavior: 'ignoreErrors' })
  },
  shot: async ({ page }, use, { project }) => {
    const problems = watch(page)
    await use(async (name) => {
      await page.evaluate(() => document.fonts.ready)
      await page.screenshot({ path: join(FOLDER, `${name}-${project.name}.png`), animations: 'disabled' })
    })
    expect(problems).toEqual([])
    // The next picture's list has nothing of this one.
    const id = /\/c\/([^/?]+)/.exec(page.url())?.[1]
    if (id) await fetch(`${new URL(page.url()).origin}/sessions/${id}`, { method: 'DELETE' })
  },
})

async function remember(server: Server, model: TestModel) {
  for (const [title, , answer] of EARLIER) {
    const said = fetch(`${server.url}/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: title }),
    }).then((response) => response.text())
    ;(await model.next()).say(answer).end()
    await said
  }
}

const open = async (page: Page) => {
  await page.goto('/')
  await expect(message(page)).toBeVisible()
  await expect(page.getByText('What shall we look into?')).toBeVisible()
}
const toTop = (page: Page) => page.evaluate(() => document.querySelector('main ol')?.parentElement?.scrollTo(0, 0))
/** Buttons that the last click left hovered would differ from run to run. */
const leave = (page: Page) => page.mouse.move(0, 0)

test('1-start', async ({ page, shot }) => {
  await open(page)
  await shot('1-start')
})

test('2-answer', async ({ page, model, tools, shot }) => {
  await open(page)
  await ask(page, 'Is the checkout service healthy?')
  const call = await model.next()
  call.think('The question is about now, so the metrics of the last hour and any open alarm are what matters.')
  call.call('query_metrics', { service: 'checkout', metric: 'latency_p95', window: '1h' }, 'call_1', 0).call('list_alarms', { service: 'checkout' }, 'call_2', 1).end('tool_calls')
  ;(await tools.next()).end({ p95: 1.9 })
  ;(await tools.next()).end({ alarms: [] })
  ;(await model.next()).say(REPORT).end()
  await finished(page)
  await page.locator('.hljs-keyword').first().waitFor()
  await toTop(page)
  await leave(page)
  await shot('2-answer')
})

test('3-tools', async ({ page, model, tools, shot }) => {
  await open(page)
  await ask(page, 'Why was checkout slow last night?')
  const call = await model.next()
  call.say('I will look at the metrics and the alarms, then at the traces.')
  call.call('query_metrics', { service: 'checkout', metric: 'latency_p95', window: '12h' }, 'call_1', 0).call('list_alarms', { service: 'checkout', since: 'yesterday' }, 'call_2', 1)
  call.call('export_traces', { service: 'checkout', from: '02:00', to: '03:00' }, 'call_3', 2).end('tool_calls')
  const calls = [await tools.next(), await tools.next(), await tools.next()]
  const named = (name: string) => calls.find((c) => c.name === name)
  named('query_metrics')?.end({ p95: 3.1, peak: '02:14', budget: 2.5 })
  named('list_alarms')?.end('The alarm service did not answer within 5 s.', true)
  named('export_traces')?.progress(640, 1000, 'Reading traces of 02:14')
  await expect(page.locator('[data-tool=list_alarms]')).toHaveAttribute('data-state', 'failed')
  await expect(page.getByRole('progressbar')).toBeVisible()
  await page.locator('[data-tool=query_metrics]').getByRole('button').click()
  await leave(page)
  await shot('3-tools')
  named('export_traces')?.end('done')
  ;(await model.next()).say('One slow query.').end()
  await finished(page)
})

test('4-approval', async ({ page, model, shot }) => {
  await open(page)
  await ask(page, 'Restart the worker service')
  ;(await model.next()).say('I can restart it for you.').call('restart_service', { name: 'worker', region: 'eu-central-1', force: false }).end('tool_calls')
  await page.getByRole('button', { name: /^Allow / }).waitFor()
  await leave(page)
  await shot('4-approval')
})

test('5-formula', async ({ page, model, shot }) => {
  await open(page)
  await ask(page, 'Derive the quadratic formula')
  ;(await model.next()).say(FORMULA).end()
  await finished(page)
  await page.locator('.katex-display').nth(1).waitFor()
  await leave(page)
  await shot('5-formula')
})

test('6-error', async ({ page, model, shot }) => {
  model.refusals.push({ status: 400, message: 'The model does not take this message.' })
  await open(page)
  await ask(page, 'Summarise the attached contract')
  await page.getByRole('alert').waitFor()
  await expect(last(page)).toHaveAttribute('data-status', 'error')
  await leave(page)
  await shot('6-error')
})

test('7-list', async ({ page, model, shot, isMobile }) => {
  await open(page)
  await ask(page, 'Compare our two regions')
  ;(await model.next()).say('Frankfurt answers in **38 ms**, Virginia in **41 ms**; both are well within their budgets.').end()
  await finished(page)
  await expect(words(page)).toContainText('Frankfurt')
  if (isMobile) await page.getByRole('button', { name: 'Open conversations' }).click()
  await page.getByRole('button', { name: /^Options for Rotate/ }).click({ force: true })
  await page.getByRole('menuitem', { name: 'Rename' }).waitFor()
  await shot('7-list')
})

test('8-sign-in', async ({ page, model, shot }) => {
  const sha256 = createHash('sha256').update(KEY).digest('hex')
  const server = await Server.start(model.url, `${PAGE}[auth]\ntype = "ApiKey"\nkeys = [{ name = "pictures", sha256 = "${sha256}" }]\n`)
  try {
    await page.goto(server.url)
    await page.getByLabel('API key').fill('loquat_1234567890')
    await shot('8-sign-in')
  } finally {
    await server.stop()
  }
})
