/** What the agent keeps about the reader, the reader sees and deletes. */
import { Server } from './server'
import { ask, axe, expect, finished, message, openList, test, watch } from './support'

const TOML = 'tools = ["memory"]\n[builtin.memory]\nwithout_sign_in = true\n[page]\nname = "Ada"\n'

test('facts are listed, forgotten one by one, and forgotten all at once', async ({ page, model }) => {
  const server = await Server.start(model.url, TOML)
  try {
    const problems = watch(page)
    await page.goto(server.url)
    await expect(message(page)).toBeVisible()
    await ask(page, 'remember me')
    const call = await model.next()
    for (const [i, fact] of ['Likes tea.', 'Lives in Graz.', 'يتكلم العربية'].entries()) call.call('memory', { action: 'save', fact }, `c${i}`, i)
    call.end('tool_calls')
    ;(await model.next()).say('I will.').end()
    await finished(page)
    const open = async () => {
      await openList(page)
      await page.getByRole('button', { name: 'Settings' }).click()
      await page.getByRole('menuitem', { name: 'What Ada remembers' }).click()
    }
    await open()
    const dialog = page.getByRole('dialog', { name: 'What Ada remembers' })
    await expect(dialog.getByRole('listitem')).toHaveCount(3)
    expect(await axe(page)).toEqual([])
    await dialog.getByRole('button', { name: 'Forget “Likes tea.”' }).click()
    await expect(dialog.getByRole('listitem')).toHaveCount(2)
    await expect(dialog.getByText('Likes tea.')).toHaveCount(0)
    await page.keyboard.press('Escape')
    await expect(dialog).toHaveCount(0)
    await page.reload()
    await open()
    await expect(dialog.getByRole('listitem')).toHaveCount(2)
    await dialog.getByRole('button', { name: 'Forget everything' }).click()
    await expect(dialog.getByRole('status')).toHaveText('Nothing is remembered.')
    expect(await axe(page)).toEqual([])
    expect(await fetch(`${server.url}/memory`).then((r) => r.json())).toEqual({ facts: [] })
    expect(problems).toEqual([])
  } finally {
    await server.stop()
  }
})

test('where nothing is kept, nothing is offered', async ({ chat: page }) => {
  await openList(page)
  await page.getByRole('button', { name: 'Settings' }).click()
  await expect(page.getByRole('menuitem', { name: 'Run inspector' })).toBeVisible()
  await expect(page.getByRole('menuitem', { name: /remembers/ })).toHaveCount(0)
})
