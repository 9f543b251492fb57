/** The page with the model inside the program, and without it. */
import { Server } from './server'
import { ask, expect, finished, test, watch, words } from './support'

test('the embedded model answers, and the page says that it is a demonstration', async ({ page }) => {
  test.setTimeout(120_000)
  const server = await Server.start(undefined, '[page]\nname = "Ada"\n')
  try {
    const problems = watch(page)
    await page.goto(server.url)
    await expect(page.locator('[data-note=demo]')).not.toBeEmpty()
    await ask(page, 'What is the capital of France?')
    await expect(words(page)).toContainText('Paris', { timeout: 90_000 })
    await expect(page.getByRole('button', { name: 'Send message' })).toBeVisible({ timeout: 90_000 })
    await finished(page)
    expect(problems).toEqual([])
  } finally {
    await server.stop()
  }
})
