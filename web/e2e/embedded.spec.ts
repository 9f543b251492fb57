/** The page with the model inside the program, and without it. */
import { Server } from './server'
import { ask, expect, finished, stop, test, watch, words } from './support'

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
    const stopping = stop(page).click({ timeout: 1000 }).catch(() => 'it had already finished')
    await finished(page)
    await stopping
    expect(problems).toEqual([])
  } finally {
    await server.stop()
  }
})
