/** Tool calls while they run: progress that moves, results, and two side by side. */
import { Server } from './server'
import { ask, axe, expect, finished, message, test, watch, words } from './support'
import { TestTools } from './tools'

test('shows what a tool does while it does it, beside another', async ({ page, model }) => {
  const tools = await TestTools.start('reindex', 'count')
  const server = await Server.start(model.url, `[page]\nname = "Ada"\n${tools.toml}`)
  try {
    const problems = watch(page)
    await page.goto(server.url)
    await expect(message(page)).toBeVisible()
    await ask(page, 'reindex and count')
    const asked = await model.next()
    asked.call('count', { of: 'people' }, 'call_1', 0).call('reindex', { index: 'people' }, 'call_2', 1).end('tool_calls')
    const [a, b] = [await tools.next(), await tools.next()]
    const [reindex, count] = a.name === 'reindex' ? [a, b] : [b, a]
    expect([reindex.input, count.input]).toEqual([{ index: 'people' }, { of: 'people' }])
    const card = page.locator('[data-tool=reindex]')
    const other = page.locator('[data-tool=count]')
    await expect(card).toHaveAttribute('data-state', 'running')
    reindex.progress(1, 4, 'Reading people')
    await expect(card).toContainText('Reading people')
    await expect(card.getByRole('progressbar')).toHaveAttribute('value', '1')
    count.end({ people: 42 })
    await expect(other).toHaveAttribute('data-state', 'done')
    expect(await axe(page)).toEqual([])
    // What is seen live is seen again by whoever comes later.
    await page.reload()
    await expect(card.getByRole('progressbar')).toHaveAttribute('value', '1')
    reindex.progress(3, 4, 'Writing people')
    await expect(card.getByRole('progressbar')).toHaveAttribute('value', '3')
    reindex.end('Half of it is missing.', true)
    await expect(card).toHaveAttribute('data-state', 'failed')
    await expect(card.getByRole('progressbar')).toHaveCount(0)
    ;(await model.next()).say('There are 42 people.').end()
    await finished(page)
    await expect(words(page)).toHaveText('There are 42 people.')
    await other.getByRole('button').click()
    await expect(other.getByRole('region', { name: 'Result' })).toContainText('"people": 42')
    await expect(other).toContainText(/\d m?s/)
    await card.getByRole('button').click()
    await expect(card.getByRole('region', { name: 'Error' })).toContainText('Half of it is missing.')
    expect(problems).toEqual([])
  } finally {
    await server.stop()
    tools.stop()
  }
})
