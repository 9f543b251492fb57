/** Calls that wait for the reader's word: they say exactly what will run, survive a reload, and go on where they stopped. */
import { Server } from './server'
import { ask, axe, expect, finished, message, test, watch, words } from './support'

const TOML = 'tools = ["calculator"]\n[page]\nname = "Ada"\n[tool.calculator]\nneeds_approval = true\n'

test('a call waits, can be allowed after a reload, and can be refused', async ({ page, model }) => {
  const server = await Server.start(model.url, TOML)
  try {
    const problems = watch(page)
    await page.goto(server.url)
    await expect(message(page)).toBeVisible()
    await ask(page, 'six times seven?')
    ;(await model.next()).say('Let me calculate.').call('calculator', { expression: '6*7' }).end('tool_calls')
    const card = page.getByRole('group', { name: 'Needs approval' })
    await expect(card).toContainText('Ada wants to run calculator with exactly this:')
    await expect(card).toContainText('"expression": "6*7"')
    await expect(card).toContainText(/Until \d+ \w+, \d\d:\d\d/) // tomorrow
    const until = await card.getByText(/^Until/).textContent()
    expect(await axe(page)).toEqual([])
    await page.reload()
    await expect(card).toContainText(until ?? '')
    const allow = card.getByRole('button', { name: 'Allow calculator', exact: true })
    // Who hears the button hears what it will run.
    await expect(allow).toHaveAccessibleDescription(/wants to run calculator with exactly this:.*"expression": "6\*7"/)
    await allow.click()
    const next = await model.next()
    expect(next.request.messages.at(-1)?.content).toContain('42')
    next.say('It is 42.').end()
    await finished(page)
    await expect(page.locator('[data-tool=calculator]')).toHaveAttribute('data-state', 'done')
    await expect(words(page)).toHaveText(['Let me calculate.', 'It is 42.'])

    await ask(page, 'and eight times nine?')
    ;(await model.next()).call('calculator', { expression: '8*9' }).end('tool_calls')
    await card.getByRole('button', { name: 'Don’t allow' }).click()
    const refused = await model.next()
    expect(refused.request.messages.at(-1)?.content).toContain('The user did not allow this call.')
    refused.say('As you wish.').end()
    await finished(page)
    await expect(page.locator('[data-tool=calculator]').last()).toHaveAttribute('data-state', 'failed')
    for (const again of [false, true]) {
      if (again) await page.reload()
      await expect(words(page)).toHaveText('As you wish.')
      await expect(page.locator('[data-tool=calculator]').last().getByRole('button')).toContainText('Not allowed')
      await expect(page.locator('[data-tool=calculator]').first().getByRole('button')).not.toContainText('Not allowed')
    }
    expect(problems).toEqual([])
  } finally {
    await server.stop()
  }
})
