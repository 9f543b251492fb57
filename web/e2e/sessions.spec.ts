/** The list of conversations, deep links, and the inspector. */
import { readFile } from 'node:fs/promises'
import { ask, axe, closeList, expect, finished, openList, test, words } from './support'

test('renames, finds, exports, deletes and takes that back', async ({ chat: page, model }) => {
  await ask(page, 'about loquats')
  ;(await model.next()).say('A loquat is a fruit.').end()
  await finished(page)
  const list = page.getByRole('navigation', { name: 'Conversations' })
  const active = list.locator('li').filter({ has: page.locator('[aria-current=page]') })
  const options = active.getByRole('button', { name: /^Options for/ })

  await openList(page)
  await options.click()
  await page.getByRole('menuitem', { name: 'Rename' }).click()
  await page.getByRole('textbox', { name: 'Conversation title' }).fill('Fruit')
  await page.keyboard.press('Enter')
  await closeList(page)
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Fruit')

  await openList(page)
  for (const [item, ending] of [['Markdown', 'md'], ['JSON', 'json']] as const) {
    await options.click()
    const download = page.waitForEvent('download')
    await page.getByRole('menuitem', { name: `Export as ${item}` }).click()
    const file = await download
    expect(file.suggestedFilename()).toBe(`Fruit.${ending}`)
    expect(await readFile(await file.path(), 'utf8')).toContain('A loquat is a fruit.')
  }

  const search = page.getByRole('searchbox', { name: 'Search conversations' })
  await search.fill('no such conversation')
  await expect(list.getByText('Nothing found.')).toBeVisible()
  await search.fill('Fruit')
  await expect(list.getByRole('link', { name: 'Fruit' })).toHaveCount(1)
  await search.fill('')
  await page.reload()
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Fruit')

  const { pathname } = new URL(page.url())
  await openList(page)
  await options.click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await expect(page).toHaveURL(/\/$/)
  await openList(page)
  await expect(list.getByRole('link', { name: 'Fruit' })).toHaveCount(0)
  await closeList(page)
  expect(await axe(page), 'undo').toEqual([])
  await page.getByRole('button', { name: 'Undo' }).click()
  await openList(page)
  await list.getByRole('link', { name: 'Fruit' }).click()
  await expect(words(page)).toHaveText('A loquat is a fruit.')
  expect(new URL(page.url()).pathname).toBe(pathname)

  await openList(page)
  await options.click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  const deleted = page.waitForResponse((r) => r.request().method() === 'DELETE')
  expect((await deleted).status()).toBe(204)
  await expect(page.getByRole('button', { name: 'Undo' })).toHaveCount(0)
})

test.describe('an address of nothing', () => {
  test.use({ tolerated: [/404/] })
  test('says so', async ({ chat: page }) => {
    await page.goto('/c/no-such-conversation')
    await expect(page.getByRole('alert')).toHaveText(/does not exist, or has expired/)
    expect(await axe(page)).toEqual([])
  })
})

test('deletes everything, when told so twice', async ({ chat: page, model }) => {
  await ask(page, 'a secret')
  ;(await model.next()).say('Kept to myself.').end()
  await finished(page)
  await openList(page)
  await page.getByRole('button', { name: 'Settings' }).click()
  await page.getByRole('menuitem', { name: 'Delete all conversations' }).click()
  expect(await axe(page)).toEqual([])
  await page.getByRole('button', { name: 'Cancel' }).click()
  await expect(page.getByRole('navigation', { name: 'Conversations' }).getByRole('link')).not.toHaveCount(0)
  await page.getByRole('button', { name: 'Settings' }).click()
  await page.getByRole('menuitem', { name: 'Delete all conversations' }).click()
  await page.getByRole('button', { name: 'Delete', exact: true }).click()
  await expect(page).toHaveURL(/\/$/)
  await openList(page)
  await expect(page.getByText('No conversations yet.')).toBeVisible()
})

test('changes language and theme, and remembers both', async ({ chat: page }) => {
  await openList(page)
  await page.getByRole('button', { name: 'Settings' }).click()
  await page.getByRole('menuitemradio', { name: 'Deutsch' }).click()
  await page.getByRole('menuitemradio', { name: 'Dunkel' }).click()
  await page.keyboard.press('Escape')
  await page.reload()
  await expect(page.getByRole('textbox', { name: 'Nachricht', exact: true })).toBeVisible()
  await expect(page.locator('html')).toHaveAttribute('lang', 'de')
  await expect(page.locator('html')).toHaveClass(/dark/)
})

test('the inspector shows a run as it went over the wire', async ({ chat: page, model, isMobile }) => {
  await page.goto('/?inspect')
  const panel = page.getByRole('region', { name: 'Run inspector' })
  // On a phone it would cover the conversation, so it opens when asked for.
  if (!isMobile) await expect(panel).toContainText('Send a message to see its run here.')
  await ask(page, 'hello')
  ;(await model.next()).say('Hello ').say('you.').end()
  await finished(page)
  if (isMobile) await page.getByRole('button', { name: 'Run inspector' }).click()
  await expect(panel.getByText('First token')).toBeVisible()
  expect(await axe(page)).toEqual([])
  await expect(panel.getByText('metadata')).toBeVisible()
  await panel.getByText('done', { exact: true }).click()
  await expect(panel.locator('details[open] pre')).toContainText('"outcome":"complete"')
})
