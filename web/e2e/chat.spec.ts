/** A conversation: streaming, tools, stopping, versions, errors, files, drafts. */
import { answers, ask, closeList, expect, finished, last, message, openList, send, stop, test, words } from './support'

const PIXEL = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==', 'base64')

test('shows every token when it comes, and the finished answer as Markdown', async ({ chat: page, model }) => {
  await ask(page, 'how do I stream?')
  const call = await model.next()
  expect(call.said).toBe('how do I stream?')
  await expect(page.getByRole('img', { name: 'Ada is working' })).toBeVisible()
  call.say('It is **quite')
  await expect(words(page)).toHaveText('It is quite')
  await expect(words(page).locator('strong')).toHaveText('quite') // mended: no asterisks while it is open
  call.say(' simple**.\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```rust\nfn main() {}\n')
  await expect(page.getByRole('table')).toBeVisible()
  call.say('```\n\nSee [the docs](https://example.com/docs) or ![a picture](https://example.com/x.png) and $x^2$.').end()
  await finished(page)
  await expect(page.locator('.hljs-keyword')).toHaveText('fn')
  const link = page.getByRole('link', { name: 'the docs' })
  await expect(link).toHaveAttribute('rel', /noopener/)
  await expect(link).toHaveAttribute('data-tip', 'https://example.com/docs') // what the tooltip says
  await expect(page.getByRole('link', { name: 'a picture' })).toBeVisible() // a foreign image is a link
  await expect(words(page).locator('img')).toHaveCount(0)
  await expect(words(page).locator('.katex')).toBeVisible()
  await page.getByRole('button', { name: 'Copy code' }).click()
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('fn main() {}')

  await expect(page).toHaveURL(/\/c\/[0-9a-f-]{36}$/)
  await page.reload()
  await expect(words(page)).toContainText('It is quite simple.')
  await expect(page.getByRole('table')).toBeVisible()
})

test('stops the model, keeps what was shown, and goes on from there', async ({ chat: page, model }) => {
  await ask(page, 'tell me a long story')
  const call = await model.next()
  call.say('Once upon a time')
  await expect(words(page)).toHaveText('Once upon a time')
  await stop(page).click()
  await call.hungUp
  await expect(page.getByText('You stopped this answer.')).toBeVisible()
  await expect(words(page)).toHaveText('Once upon a time')
  await page.reload()
  await expect(words(page)).toHaveText('Once upon a time')
  await expect(page.getByText('You stopped this answer.')).toBeVisible()
  await ask(page, 'go on')
  const next = await model.next()
  expect(JSON.stringify(next.request.messages)).toContain('Once upon a time')
  next.say('there was a loquat.').end()
  await finished(page)
})

test('edits and regenerates with versions that survive a reload', async ({ chat: page, model }) => {
  await ask(page, 'first question')
  ;(await model.next()).say('First answer.').end()
  await finished(page)
  await page.getByRole('button', { name: 'Regenerate answer' }).click()
  ;(await model.next()).say('Second answer.').end()
  await finished(page)
  await expect(last(page)).toContainText('2 / 2')
  await page.locator('[data-role=user]').hover()
  await page.getByRole('button', { name: 'Edit message' }).click()
  await page.getByRole('textbox', { name: 'Edit your message' }).fill('better question')
  await page.getByRole('button', { name: 'Send', exact: true }).click()
  const call = await model.next()
  expect(call.request.messages.filter((m) => m.role !== 'system')).toHaveLength(1) // nothing of the replaced turn
  call.say('Third answer.').end()
  await finished(page)
  for (const again of [false, true]) {
    if (again) await page.reload()
    const picker = page.locator('[data-role=user]')
    await expect(picker).toContainText('3 / 3')
    await expect(words(page)).toHaveText('Third answer.')
    await page.getByRole('button', { name: 'Previous version' }).click()
    await expect(words(page)).toHaveText('Second answer.')
    await page.getByRole('button', { name: 'Previous version' }).click()
    await expect(words(page)).toHaveText('First answer.')
    await page.getByRole('button', { name: 'Back to the latest' }).click()
    await expect(words(page)).toHaveText('Third answer.')
  }
})

test('shows a tool call with its input and its error, and the reasoning folded', async ({ chat: page, model }) => {
  await ask(page, 'use your tool')
  const call = await model.next()
  call.think('I should look that up.')
  await expect(page.getByText('I should look that up.')).toBeVisible() // open while it streams
  call.call('no_such_tool', { city: 'Graz' }).end('tool_calls')
  const card = page.locator('[data-tool=no_such_tool]')
  await expect(card).toHaveAttribute('data-state', 'failed')
  ;(await model.next()).say('That did not work.').end()
  await finished(page)
  await expect(page.getByText('I should look that up.')).toBeHidden()
  await card.getByRole('button').click()
  await expect(card.getByRole('region', { name: 'Input' })).toContainText('"city": "Graz"')
  await expect(card.getByRole('region', { name: 'Error' })).not.toBeEmpty()
})

test('says what went wrong and tries again in place', async ({ chat: page, model }) => {
  model.refusals.push({ status: 400, message: 'The test refuses.' })
  await ask(page, 'please')
  await expect(page.getByRole('alert')).toBeVisible()
  await page.getByRole('button', { name: 'Try again' }).click()
  ;(await model.next()).say('Now it works.').end()
  await finished(page)
  await expect(words(page)).toHaveText('Now it works.')
  await expect(page.getByRole('alert')).toHaveCount(0)
})

test('shows right-to-left text from the right, and code from the left', async ({ chat: page, model }) => {
  await ask(page, 'مرحبا')
  ;(await model.next()).say('أهلا بك.\n\n`code`\n\n- عنصر أول\n- عنصر ثان').end()
  await finished(page)
  const direction = (selector: string) => words(page).locator(selector).first().evaluate((e) => getComputedStyle(e).direction)
  expect(await direction('p')).toBe('rtl')
  expect(await direction('code')).toBe('ltr')
  // The marks of a list stand where its items begin, inside the column.
  const room = await words(page).locator('li').first().evaluate((item) => {
    const [own, list] = [item.getBoundingClientRect(), item.parentElement!.getBoundingClientRect()]
    return [getComputedStyle(item).direction, own.left - list.left, list.right - own.right] as const
  })
  expect(room[0]).toBe('rtl')
  expect(room[1]).toBe(0)
  expect(room[2]).toBeGreaterThan(15)
})

test('stays smooth through a long answer with thirty blocks of code', async ({ chat: page, model }) => {
  await page.evaluate(() => {
    const tasks: number[] = []
    Object.assign(window, { tasks })
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: 'longtask' })
  })
  const part = (i: number) => `## Part ${i}\n\nSome words about it, with **bold** and \`code\`.\n\n\`\`\`rust\n${'/// Streams the events of a run to the client.\nasync fn chat(State(app): State<App>) -> Result<Response, Problem> {\n    let run = app.runs.start().await?;\n    Ok(Sse::new(run.events()).into_response())\n}\n'.repeat(4)}\`\`\`\n\n`
  const text = Array.from({ length: 30 }, (_, i) => part(i + 1)).join('')
  expect(text.length).toBeGreaterThan(24_000)
  await ask(page, 'everything')
  const call = await model.next()
  for (const piece of text.match(/[\s\S]{1,24}/g) ?? []) {
    call.say(piece)
    await new Promise((tick) => setTimeout(tick, 2))
  }
  call.end()
  await finished(page)
  await expect(page.locator('pre')).toHaveCount(30)
  const worst = await page.evaluate(() => Math.max(0, ...(window as never as { tasks: number[] }).tasks))
  console.log(`longest task while streaming ${text.length} characters: ${Math.round(worst)} ms`)
  expect(worst).toBeLessThan(500)
  // The reader was at the end all the while.
  await expect(last(page).getByRole('button', { name: 'Regenerate answer' })).toBeInViewport()
})

test('sends files, and shows them again', async ({ chat: page, model }) => {
  const chosen = page.waitForEvent('filechooser')
  await page.getByRole('button', { name: 'Attach files' }).click()
  await (await chosen).setFiles([{ name: 'dot.png', mimeType: 'image/png', buffer: PIXEL }])
  await expect(page.getByRole('button', { name: 'Remove dot.png' })).toBeVisible()
  await ask(page, 'what is this?')
  const call = await model.next()
  expect(JSON.stringify(call.request.messages.at(-1))).toContain('data:image/png;base64,')
  call.say('A dot.').end()
  await finished(page)
  await page.reload()
  await expect(page.locator('[data-role=user] img')).toBeVisible()
  await expect(answers(page)).toHaveCount(1)
  await expect(send(page)).toBeDisabled()
})

test('sends pictures, PDF and text at once, and keeps them with the message', async ({ chat: page, model }) => {
  const chosen = page.waitForEvent('filechooser')
  await page.getByRole('button', { name: 'Attach files' }).click()
  await (await chosen).setFiles([
    { name: 'report.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.4\n%%EOF\n') },
    { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('Loquats ripen in spring.') },
    { name: 'dot.png', mimeType: 'image/png', buffer: PIXEL },
  ])
  for (const name of ['report.pdf', 'notes.txt', 'dot.png']) await expect(page.getByRole('button', { name: `Remove ${name}` })).toBeVisible()
  await ask(page, 'read these')
  const call = await model.next()
  const sent = JSON.stringify(call.request.messages.at(-1))
  expect(sent).toContain('data:application/pdf;base64,')
  expect(sent).toContain('Loquats ripen in spring.')
  expect(sent).toContain('data:image/png;base64,')
  call.say('Read.').end()
  await finished(page)
  await page.reload()
  const question = page.locator('[data-role=user]')
  await expect(question.locator('img')).toBeVisible()
  await expect(question).toContainText('report')
  await expect(question).toContainText('notes')
})

test('copies messages, and says when, by which model and for how many tokens', async ({ chat: page, model, isMobile }) => {
  await ask(page, 'the question')
  ;(await model.next()).say('The **answer**.').end()
  await finished(page)
  const facts = last(page).getByText(/120 in · 34 out/)
  await expect(facts).toContainText(/\d\d:\d\d/)
  await expect(facts).toContainText('openai/test')
  const question = page.locator('[data-role=user]')
  const time = question.locator('time')
  // A phone has no pointer to rest on a message: there they are always seen.
  if (!isMobile) {
    await page.mouse.move(0, 0)
    await expect(facts).toHaveCSS('opacity', '0')
    await last(page).hover()
  }
  await expect(facts).toHaveCSS('opacity', '1')
  await last(page).getByRole('button', { name: 'Copy message' }).click()
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('The **answer**.')
  if (!isMobile) await question.hover()
  await expect(time).toBeVisible()
  await expect(time).toHaveText(/\d\d:\d\d/)
  await question.getByRole('button', { name: 'Copy message' }).click()
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('the question')
})

test('keeps a draft for each conversation, through a reload', async ({ chat: page, model }) => {
  await ask(page, 'first')
  ;(await model.next()).say('Seen.').end()
  await finished(page)
  await message(page).fill('half a thought')
  await page.reload()
  await expect(message(page)).toHaveValue('half a thought')
  await openList(page)
  await page.getByRole('button', { name: 'New chat' }).first().click()
  await closeList(page)
  await expect(message(page)).toHaveValue('')
  await message(page).fill('another thought')
  await page.goBack()
  await expect(words(page)).toHaveText('Seen.')
  await expect(message(page)).toHaveValue('half a thought')
  await page.goto('/')
  await expect(message(page)).toHaveValue('another thought')
  await message(page).fill('')
})
