/** Nothing is lost: reloads, other tabs, no network, a killed server. Each must end with the whole answer on the screen. */
import { Line } from './line'
import { Server } from './server'
import { ask, axe, closeList, expect, finished, last, message, openList, send, test, watch, words } from './support'

test('a reload in the middle of an answer goes on with it', async ({ chat: page, model }) => {
  await ask(page, 'a question')
  const call = await model.next()
  call.say('The first half, ')
  await expect(words(page)).toContainText('The first half,')
  await page.reload()
  await expect(words(page)).toContainText('The first half,')
  await expect(last(page)).toHaveAttribute('data-status', 'running')
  call.say('the second half.').end()
  await finished(page)
  await expect(words(page)).toHaveText('The first half, the second half.')
})

test('two tabs show the same text, and a tab that is elsewhere finds it finished', async ({ chat: page, model, context }) => {
  await ask(page, 'a question')
  const call = await model.next()
  call.say('One ')
  await expect(words(page)).toContainText('One')
  const other = await context.newPage()
  const problems = watch(other)
  await other.goto(page.url())
  await expect(words(other)).toContainText('One')
  call.say('two ')
  await expect(words(page)).toHaveText('One two')
  await expect(words(other)).toHaveText('One two')
  // In the first tab the reader goes elsewhere; the run goes on and is marked in the list.
  await page.getByRole('button', { name: 'New chat' }).first().click()
  await openList(page)
  await expect(page.locator('[data-running]')).toHaveCount(1)
  call.say('three.').end()
  await finished(other)
  await expect(page.locator('[data-running]')).toHaveCount(0)
  await closeList(page)
  await page.goBack()
  await expect(words(page)).toHaveText('One two three.')
  // What is asked in one tab appears in the other.
  await ask(page, 'and another')
  ;(await model.next()).say('Four.').end()
  await expect(other.locator('.prose-chat')).toHaveText(['One two three.', 'Four.'])
  expect(problems).toEqual([])
})

test.describe('without a network', () => {
  test.use({ tolerated: [/net::ERR_|Failed to load resource/] })

  test('an answer pauses, says so, and goes on', async ({ chat: page, model, context }) => {
    await ask(page, 'a question')
    const call = await model.next()
    call.say('Before, ')
    await expect(words(page)).toContainText('Before,')
    await context.setOffline(true)
    await expect(page.locator('[data-reconnecting]')).toContainText('offline')
    expect(await axe(page)).toEqual([])
    call.say('during, ').say('after.').end()
    await context.setOffline(false)
    await finished(page)
    await expect(words(page)).toHaveText('Before, during, after.')
    await expect(page.locator('[data-reconnecting]')).toHaveCount(0)
  })

  test('a message written offline is sent once, when the network is back', async ({ chat: page, model, context }) => {
    await context.setOffline(true)
    await ask(page, 'written offline')
    await expect(page.locator('[data-reconnecting]')).toBeVisible()
    await context.setOffline(false)
    const call = await model.next()
    expect(call.said).toBe('written offline')
    call.say('Received.').end()
    await finished(page)
    await expect(words(page)).toHaveText('Received.')
    await page.reload()
    await expect(page.locator('[data-role=user]')).toHaveCount(1)
  })

  test('stopping what never left gives the message back', async ({ chat: page, context }) => {
    await context.setOffline(true)
    await ask(page, 'never sent')
    await expect(page.locator('[data-reconnecting]')).toBeVisible()
    await page.getByRole('button', { name: 'Stop generating' }).click()
    await expect(message(page)).toHaveValue('never sent')
    await expect(page.locator('[data-role=user]')).toHaveCount(0)
    await context.setOffline(false)
  })

  test('a server that is killed loses nothing that was shown', async ({ chat: page, model, server }) => {
    await ask(page, 'a question')
    const call = await model.next()
    call.say('Shown before the power went.')
    await expect(words(page)).toHaveText('Shown before the power went.')
    await server.kill()
    await expect(page.locator('[data-reconnecting]')).toBeVisible()
    await server.launch()
    // The run died with the server: the page says so, keeps the text, and offers the one thing to do.
    await expect(page.locator('[data-reconnecting]')).toHaveCount(0)
    await expect(send(page)).toBeVisible()
    await expect(words(page)).toContainText('Shown before the power went.')
    await expect(last(page)).not.toHaveAttribute('data-status', 'running')
    model.clear()
    const again = page.getByRole('button', { name: /Try again|Regenerate answer/ })
    await again.first().click()
    ;(await model.next()).say('Whole again.').end()
    await finished(page)
    await expect(words(page)).toHaveText('Whole again.')
  })

  test('a line that is cut in the middle is taken up again, and the answer is not shown as finished', async ({ page, model, server, tolerated }) => {
    model.clear()
    const line = await Line.to(server.port)
    try {
      const problems = watch(page, tolerated)
      await page.goto(line.url)
      await ask(page, 'a question')
      const call = await model.next()
      call.say('One ')
      await expect(words(page)).toHaveText('One')
      line.cut()
      await expect(page.locator('[data-reconnecting]')).toBeVisible()
      await expect(last(page)).toHaveAttribute('data-status', 'running')
      call.say('two.').end()
      line.mend()
      await finished(page)
      await expect(words(page)).toHaveText('One two.')
      expect(problems).toEqual([])
    } finally {
      line.close()
    }
  })

  test('a server that is restarted goes on with the answer to its end', async ({ page, model, tolerated }) => {
    model.clear()
    const server = await Server.start(model.url, '[page]\nname = "Ada"\n', { env: { LOQUAT_DRAIN_SECONDS: '0' } })
    try {
      const problems = watch(page, tolerated)
      await page.goto(server.url)
      await ask(page, 'a question')
      const call = await model.next()
      call.say('Half of ')
      await expect(words(page)).toHaveText('Half of')
      await server.restart()
      // Whoever looks for the run makes the new process take it over; it asks the model again.
      const again = await model.next()
      expect(again.said).toBe('a question')
      again.say('The whole answer.').end()
      await finished(page)
      await expect(words(page)).toHaveText('The whole answer.')
      await page.reload()
      await expect(words(page)).toHaveText('The whole answer.')
      expect(problems).toEqual([])
    } finally {
      await server.stop()
    }
  })

  test('a message sent while the server is down arrives when it is up', async ({ chat: page, model, server }) => {
    await server.kill()
    await ask(page, 'are you there?')
    await expect(page.locator('[data-reconnecting]')).toBeVisible()
    await server.launch()
    const call = await model.next()
    expect(call.said).toBe('are you there?')
    call.say('I am.').end()
    await finished(page)
    await expect(words(page)).toHaveText('I am.')
  })
})
