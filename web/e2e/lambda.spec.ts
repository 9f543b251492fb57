/** On Lambda an answer may be longer than the invocation that began it. */
import { Lambda } from './lambda'
import { ask, expect, finished, message, test, watch, words } from './support'

test('an answer goes on in another invocation when the first one’s time is up', async ({ page, model }) => {
  const lambda = await Lambda.start(model.url, '[page]\nname = "Ada"\n', 24)
  try {
    const problems = watch(page)
    await page.goto(lambda.url)
    await expect(message(page)).toBeVisible()
    const goesOn = page.waitForRequest(/\/runs\/[^/]+\/events\?after=/)
    await ask(page, 'a long one')
    const call = await model.next()
    call.say('Before, ')
    await expect(words(page)).toContainText('Before,')
    // Told by the server with `continue`, not by a broken connection: nothing is said to the reader.
    await goesOn
    await expect(page.locator('[data-reconnecting]')).toHaveCount(0)
    // The next invocation asks the model again: what it had said of this step is taken back, and it is one answer.
    const again = await model.next()
    again.say('Before, and after.').end()
    await finished(page)
    await expect(words(page)).toHaveText('Before, and after.')
    await page.reload()
    await expect(words(page)).toHaveText('Before, and after.')
    expect(problems).toEqual([])
  } finally {
    lambda.stop()
  }
})
