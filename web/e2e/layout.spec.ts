/** What depends on the size of the window, on desktop and phone, light and dark: layout, and what axe finds. */
import { ask, axe, expect, finished, message, openList, test, words } from './support'

const REPORT = '## Report\n\nAll is *well*, see [the runbook](https://example.com/runbook).\n\n| Metric | Value |\n|---|--:|\n| p95 | 1.9 s |\n\n```rust\nfn main() { println!("hello"); } // a comment\n```\n\n> Quoted.\n\n1. `one`\n2. two\n'

for (const scheme of ['light', 'dark'] as const)
  test(`fits the window, and axe finds nothing (${scheme})`, async ({ chat: page, model, isMobile }) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)
    expect(await axe(page), 'start').toEqual([])
    expect(await fits()).toBe(true)

    await ask(page, 'report')
    const call = await model.next()
    call.think('Let me think.').call('no_such_tool', { a: 'b' }).end('tool_calls')
    const next = await model.next()
    next.say(REPORT)
    await expect(page.locator('.hljs-keyword').first()).toBeVisible()
    expect(await axe(page), 'streaming').toEqual([])
    next.end()
    await finished(page)
    await page.locator('[data-tool=no_such_tool]').getByRole('button').click()
    expect(await axe(page), 'answered').toEqual([])
    expect(await fits()).toBe(true)

    model.refusals.push({ status: 400, message: 'The test refuses.' })
    await ask(page, 'fail')
    await expect(page.getByRole('alert')).toBeVisible()
    expect(await axe(page), 'error').toEqual([])

    const list = page.getByRole('navigation', { name: 'Conversations' })
    if (isMobile) {
      await expect(list).toHaveCount(0)
      await page.getByRole('button', { name: 'Open conversations' }).click()
      await expect(list).toBeVisible()
      expect(await axe(page), 'drawer').toEqual([])
      await page.getByRole('button', { name: 'Close conversations' }).click()
    } else {
      await page.getByRole('button', { name: 'Settings' }).click()
      expect(await axe(page), 'menu').toEqual([])
      await page.keyboard.press('Escape')
      await expect(page.getByRole('button', { name: 'Settings' })).toBeFocused()
      await page.getByRole('button', { name: 'Hide conversations' }).click()
      await expect(list).toHaveCount(0)
      await page.getByRole('button', { name: 'Show conversations' }).click()
    }
  })

test('words of a wide table stay whole, and the table scrolls', async ({ chat: page, model, isMobile }) => {
  await ask(page, 'a table')
  const cells = ['checkout', 'eu-central-1', '12', '45', '99', '0.01%', 'Ann', 'something long to say about it']
  ;(await model.next()).say(`|${'Column|'.repeat(cells.length)}\n|${'--|'.repeat(cells.length)}\n|${cells.join('|')}|\n`).end()
  await finished(page)
  const lines = (text: string) => page.getByRole('cell', { name: text }).evaluate((cell) => {
    const range = document.createRange()
    range.selectNodeContents(cell)
    return new Set([...range.getClientRects()].map((r) => r.top)).size
  })
  expect(await lines('checkout')).toBe(1)
  expect(await lines('0.01%')).toBe(1)
  const table = page.getByRole('region', { name: 'Table' })
  if (isMobile) expect(await table.evaluate((e) => e.scrollWidth > e.clientWidth)).toBe(true)
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true)
})

test('goes dark and light with the system while it stands open', async ({ chat: page, context }) => {
  const dark = () => page.evaluate(() => document.documentElement.classList.contains('dark'))
  await page.emulateMedia({ colorScheme: 'dark' })
  await expect.poll(dark).toBe(true)
  await page.emulateMedia({ colorScheme: 'light' })
  await expect.poll(dark).toBe(false)
  // What is chosen in one tab holds in all.
  const other = await context.newPage()
  await other.goto('/')
  await openList(other)
  await other.getByRole('button', { name: 'Settings' }).click()
  await other.getByRole('menuitemradio', { name: 'Dark' }).click()
  await expect.poll(dark).toBe(true)
  await page.emulateMedia({ colorScheme: 'light' })
  expect(await dark()).toBe(true)
})

test('puts a new question at the top, follows its answer, and leaves a reader alone who scrolls up', async ({ chat: page, model }) => {
  const lines = (n: number) => Array.from({ length: n }, (_, i) => `Line ${i + 1}.`).join('\n\n')
  await ask(page, 'first')
  ;(await model.next()).say(lines(60)).end()
  await finished(page)
  await ask(page, 'second')
  const call = await model.next()
  call.say('Short.')
  const question = page.locator('[data-role=user]').last()
  await expect(words(page).last()).toHaveText('Short.')
  await expect.poll(async () => Math.round((await question.boundingBox())?.y ?? 0)).toBeLessThan(110)
  call.say(`\n\n${lines(80)}`)
  await expect(page.getByText('Line 80.').last()).toBeInViewport()
  await page.mouse.move(page.viewportSize()!.width / 2, 300)
  if (page.viewportSize()!.width > 800) await page.mouse.wheel(0, -600)
  else await page.evaluate(() => document.querySelector('ol')?.parentElement?.scrollBy(0, -600))
  const end = page.getByRole('button', { name: 'Scroll to the end' })
  await expect(end).toBeVisible()
  call.say('\n\nOne more line.').end()
  await finished(page)
  await expect(page.getByText('One more line.').last()).not.toBeInViewport()
  await end.click()
  await expect(page.getByText('One more line.').last()).toBeInViewport()
  await expect(message(page)).toBeVisible()
})
