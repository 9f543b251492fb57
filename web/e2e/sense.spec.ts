/** For everybody: what a screen reader hears, less motion, another language, and files brought in every way. */
import { Server } from './server'
import { ask, axe, expect, finished, last, message, test, watch, words } from './support'

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=='

test('a screen reader hears whole sentences while they are written, then that the answer is whole', async ({ chat: page, model }) => {
  const log = page.getByRole('log')
  await ask(page, 'speak')
  const call = await model.next()
  await expect(log).toContainText('Ada is answering')
  call.say('The first sentence is **whole**. The second is n')
  await expect(log.getByText('The first sentence is whole.')).toBeAttached()
  await expect(log).not.toContainText('The second')
  call.say('ot yet.\n\n```rust\nfn main() {}\n```\n').end()
  await finished(page)
  await expect(log.getByText('The second is not yet.')).toBeAttached()
  await expect(log).not.toContainText('fn main') // code is noise to the ear
  await expect(log).toContainText('The answer is complete.')
})

test('nothing moves where the reader wants less motion', async ({ chat: page, model }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' })
  await ask(page, 'move')
  const call = await model.next()
  await expect(page.getByRole('img', { name: 'Ada is working' })).toBeVisible()
  call.think('Thinking.')
  await expect(page.getByText('Thinking.')).toBeVisible()
  const moving = () =>
    page.evaluate(() => document.getAnimations().filter((a) => Number(a.effect?.getComputedTiming().endTime) > 20).map((a) => (a as CSSAnimation).animationName))
  expect(await moving()).toEqual([])
  call.say('Done.').end()
  await finished(page)
})

test('files come by paste and by drop, and what the model cannot take is refused with a reason', async ({ chat: page, model }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' }) // half faded in, nothing has its contrast yet
  const bring = (how: 'paste' | 'drop', name: string, type: string, at = 'main form textarea') =>
    page.evaluate(
      ([how, name, type, base64, at]) => {
        const data = new DataTransfer()
        data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name, { type }))
        const target = document.querySelector(at)!
        const event = how === 'paste' ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }) : new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })
        target.dispatchEvent(event)
        return event.defaultPrevented // else the browser would go to the file
      },
      [how, name, type, PIXEL, at] as const,
    )
  await bring('paste', 'pasted.png', 'image/png')
  await expect(page.getByRole('button', { name: 'Remove pasted.png' })).toBeVisible()
  await bring('drop', 'dropped.txt', 'text/plain')
  await expect(page.getByRole('button', { name: 'Remove dropped.txt' })).toBeVisible()
  expect(await bring('drop', 'beside.md', 'text/markdown', 'header')).toBe(true)
  await page.getByRole('button', { name: 'Remove beside.md' }).click()
  expect(await bring('drop', 'program.exe', 'application/x-msdownload')).toBe(true)
  await expect(page.getByRole('alert')).toContainText('program.exe')
  expect(await axe(page)).toEqual([])
  await page.getByRole('button', { name: 'Remove dropped.txt' }).click()
  await ask(page, 'what is this?')
  const call = await model.next()
  expect(JSON.stringify(call.request.messages.at(-1))).toContain('data:image/png;base64,')
  expect(JSON.stringify(call.request.messages.at(-1))).not.toContain('dropped')
  call.say('A dot.').end()
  await finished(page)
  // Edited, the message keeps its file.
  await page.locator('[data-role=user]').hover()
  await page.getByRole('button', { name: 'Edit message' }).click()
  expect(await axe(page), 'editing').toEqual([])
  await page.getByRole('textbox', { name: 'Edit your message' }).fill('and now?')
  await page.getByRole('button', { name: 'Send', exact: true }).click()
  const next = await model.next()
  expect(JSON.stringify(next.request.messages.at(-1))).toContain('data:image/png;base64,')
  next.say('Still a dot.').end()
  await finished(page)
  await page.getByRole('button', { name: 'Previous version' }).click()
  await expect(words(page)).toHaveText('A dot.')
  expect(await axe(page), 'an earlier version').toEqual([])
})

test('an answer is rated, and the rating is still there after a reload', async ({ chat: page, model }) => {
  await ask(page, 'how was it?')
  ;(await model.next()).say('Good.').end()
  await finished(page)
  const good = page.getByRole('button', { name: 'Good answer' })
  const bad = page.getByRole('button', { name: 'Bad answer' })
  await expect(good).toHaveAttribute('aria-pressed', 'false')
  const told = page.waitForResponse((r) => r.url().endsWith('/feedback'))
  await good.click()
  expect((await told).status()).toBe(204)
  await expect(good).toHaveAttribute('aria-pressed', 'true')
  await page.reload()
  await expect(good).toHaveAttribute('aria-pressed', 'true')
  await bad.click()
  await expect(bad).toHaveAttribute('aria-pressed', 'true')
  await expect(good).toHaveAttribute('aria-pressed', 'false')
  // Why, if one likes.
  const why = page.getByRole('textbox', { name: 'What makes you think so?' })
  await why.fill('It was short.')
  expect(await axe(page), 'with the comment').toEqual([])
  const said = page.waitForRequest((r) => r.url().endsWith('/feedback'))
  await page.getByRole('button', { name: 'Comment' }).click()
  expect((await said).postDataJSON()).toEqual({ rating: 'down', comment: 'It was short.' })
  await expect(why).toHaveCount(0)
  await expect(bad).toHaveAttribute('aria-pressed', 'true')
})

test('the page speaks the browser’s language, whole', async ({ browser, model }) => {
  const server = await Server.start(model.url, '[page]\nname = "Ada"\n')
  try {
    const locales = [['en-GB', 'Message Ada…'], ['de-AT', 'Nachricht an Ada…'], ['es-MX', 'Escribe a Ada…'], ['fr-CA', 'Écrire à Ada…'], ['ja-JP', 'Ada にメッセージ…'], ['zh-CN', '给 Ada 发消息…']] as const
    for (const [locale, placeholder] of locales) {
      const context = await browser.newContext({ locale })
      const page = await context.newPage()
      const problems = watch(page)
      await page.goto(server.url)
      await expect(page.locator('html')).toHaveAttribute('lang', locale.slice(0, 2))
      await expect(page.locator('textarea')).toHaveAttribute('placeholder', placeholder)
      expect(await axe(page)).toEqual([])
      expect(problems).toEqual([])
      await context.close()
    }
  } finally {
    await server.stop()
  }
})

test('a dead line is given up after three heartbeats, and the answer comes all the same', async ({ chat: page, model, server }) => {
  await page.clock.install()
  await page.reload()
  await ask(page, 'are you there?')
  const call = await model.next()
  call.say('Before, ')
  await expect(words(page)).toContainText('Before,')
  // The server neither speaks nor hangs up: no error ever comes, only silence.
  server.freeze(true)
  await page.clock.fastForward(30_000)
  await expect(page.locator('[data-reconnecting]')).toHaveCount(0)
  await page.clock.fastForward(6_000)
  await expect(page.locator('[data-reconnecting]')).toBeVisible()
  await expect(last(page)).toHaveAttribute('data-status', 'running')
  call.say('after.').end()
  server.freeze(false)
  await page.clock.fastForward(16_000)
  await finished(page)
  await expect(words(page)).toHaveText('Before, after.')
  await expect(message(page)).toBeVisible()
})
