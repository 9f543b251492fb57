/** The page with the model inside the program, and without it. */
import { errors } from '@playwright/test'
import { Server } from './server'
import { ask, expect, finished, last, message, send, stop, test, watch, words } from './support'

test('the embedded model answers, and the page says that it is a demonstration', async ({ page }) => {
  test.setTimeout(120_000)
  const server = await Server.start(undefined, '[page]\nname = "Ada"\n')
  try {
    const problems = watch(page)
    await page.goto(server.url)
    await expect(page.locator('[data-note=demo]')).not.toBeEmpty()
    await ask(page, 'What is the capital of France?')
    // What a model of this size says is left to it; that it says something, and stops when told to, is not.
    await expect(words(page)).toContainText(/\w/, { timeout: 90_000 })
    // An answer this short may be over before it can be stopped. Nothing else may keep one from pressing the button.
    await stop(page).click({ timeout: 1000 }).catch(async (error: unknown) => {
      if (!(error instanceof errors.TimeoutError) || (await last(page).getAttribute('data-status')) !== 'done') throw error
    })
    await finished(page)
    expect(problems).toEqual([])
  } finally {
    await server.stop()
  }
})

test('the embedded model uses the calculator and the clock', async ({ page }) => {
  test.setTimeout(240_000)
  const server = await Server.start(undefined, 'tools = ["calculator", "current_time"]\n[page]\nname = "Ada"\n')
  try {
    const problems = watch(page)
    await page.goto(server.url)
    // It reads text alone: no files are offered.
    await expect(message(page)).toBeVisible()
    await expect(page.getByRole('button', { name: 'Attach files' })).toHaveCount(0)
    for (const [question, tool, input, output] of [['What is 17*23?', 'calculator', '"expression": "17*23"', '391'], ['What time is it?', 'current_time', '', String(new Date().getFullYear())]] as const) {
      await ask(page, question)
      const card = page.locator(`[data-tool=${tool}]`)
      await expect(card).toHaveAttribute('data-state', 'done', { timeout: 60_000 })
      await expect(send(page)).toBeVisible({ timeout: 60_000 })
      await finished(page)
      await card.getByRole('button').click()
      if (input) await expect(card.getByRole('region', { name: 'Input' })).toContainText(input)
      await expect(card.getByRole('region', { name: 'Result' })).toContainText(output)
    }
    expect(problems).toEqual([])
  } finally {
    await server.stop()
  }
})
