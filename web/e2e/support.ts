/** What every browser test starts from: the program, its model, a page that tolerates no console error, and verbs. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test as base, type Page } from '@playwright/test'
import { TestModel } from './model'
import { Server } from './server'

const TOML = `
[page]
name = "Ada"
greeting = "What shall we look at?"
suggestions = ["Explain server-sent events", "Tell me a story"]
`

interface Workers {
  model: TestModel
  server: Server
}
interface Tests {
  /** The page on its start screen. */
  chat: Page
  /** Console lines that a test of broken networks expects. */
  tolerated: RegExp[]
}

/** Fails on a console error, a page error or a violated Content-Security-Policy. */
export const watch = (page: Page, tolerated: RegExp[] = []): string[] => {
  const problems: string[] = []
  page.on('console', (m) => m.type() === 'error' && !tolerated.some((t) => t.test(m.text())) && problems.push(m.text()))
  page.on('pageerror', (e) => problems.push(e.message))
  return problems
}

export const test = base.extend<Tests, Workers>({
  model: [
    async ({}, use) => {
      const model = await TestModel.start()
      await use(model)
      model.stop()
    },
    { scope: 'worker' },
  ],
  server: [
    async ({ model }, use) => {
      const server = await Server.start(model.url, TOML)
      await use(server)
      await server.stop()
    },
    { scope: 'worker' },
  ],
  tolerated: [[], { option: true }],
  baseURL: async ({ server }, use) => use(server.url),
  chat: async ({ page, model, tolerated }, use) => {
    model.clear()
    const problems = watch(page, tolerated)
    await page.goto('/')
    await expect(message(page)).toBeVisible()
    await use(page)
    expect(problems).toEqual([])
  },
})
export { expect }

export const message = (page: Page) => page.getByRole('textbox', { name: 'Message', exact: true })
export const send = (page: Page) => page.getByRole('button', { name: 'Send message' })
export const stop = (page: Page) => page.getByRole('button', { name: 'Stop generating' })
export const answers = (page: Page) => page.locator('[data-role=assistant]')
export const last = (page: Page) => answers(page).last()
/** The last answer's words, as they are shown. */
export const words = (page: Page) => last(page).locator('.prose-chat')

export const ask = async (page: Page, text: string) => {
  await message(page).fill(text)
  await send(page).click()
}
export const finished = async (page: Page) => {
  await expect(send(page)).toBeVisible()
  await expect(last(page)).toHaveAttribute('data-status', 'done')
}

/** The list stands beside the conversation on a desktop, and in a drawer on a phone. */
export const openList = async (page: Page) => {
  const list = page.getByRole('navigation', { name: 'Conversations' })
  const drawer = page.getByRole('button', { name: 'Open conversations' })
  await expect(list.or(drawer).first()).toBeVisible()
  if (!(await list.isVisible())) await drawer.click()
}
export const closeList = async (page: Page) => {
  const drawer = page.getByRole('button', { name: 'Close conversations' })
  if (await drawer.isVisible()) await drawer.click()
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

/** What axe finds, one line a rule. The policy forbids script tags, so it is evaluated. */
export const axe = async (page: Page): Promise<string[]> => {
  await page.evaluate(axeSource)
  return page.evaluate(async (tags) => {
    interface Violation {
      id: string
      nodes: { target: string[]; failureSummary: string }[]
    }
    const { axe } = window as never as { axe: { run(options: object): Promise<{ violations: Violation[] }> } }
    // What is still fading has not the colours it is meant to have, and begins to fade with the next frame only. (Some
    // animations go on for ever.)
    const frame = () => new Promise((drawn) => requestAnimationFrame(drawn))
    for (let round = 0; round < 20; round++) {
      await frame()
      await frame()
      const fading = document.getAnimations().filter((a) => a.effect?.getComputedTiming().iterations === 1)
      if (fading.length === 0) break
      await Promise.allSettled(fading.map((a) => a.finished))
    }
    const { violations } = await axe.run({ runOnly: tags })
    return violations.map((v) => `${v.id}: ${v.nodes.slice(0, 2).map((n) => `${n.target.join(' ')} ${n.failureSummary.split('\n')[1]}`).join(' | ')}`)
  }, TAGS)
}
