/** What `loquat.toml` says of the page, a store that keeps nothing, a model that is not there, and what goes over the wire. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Server } from './server'
import { ask, axe, expect, finished, last, message, send, test, watch, words } from './support'

const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><circle cx="5" cy="5" r="5" fill="#2563eb"/></svg>'

test('name, greeting, suggestions, logo and colour are the owner’s, and nothing comes from elsewhere', async ({ page, model }) => {
  const toml = '[page]\nname = "Bea"\ngreeting = "Where is it?"\nsuggestions = ["Where is my parcel?"]\nlogo = "logo.svg"\naccent = "#2563eb"\n'
  const server = await Server.start(model.url, toml, { files: { 'logo.svg': LOGO } })
  try {
    const problems = watch(page)
    const requests: string[] = []
    page.on('request', (r) => requests.push(r.url()))
    const response = await page.goto(server.url)
    await expect(page).toHaveTitle('Bea')
    await expect(page.getByRole('heading', { name: 'Where is it?' })).toBeVisible()
    await expect(message(page)).toHaveAttribute('placeholder', 'Message Bea…')
    const logo = page.locator('main img').first()
    expect(await logo.evaluate((img: HTMLImageElement) => img.naturalWidth > 0 && img.src)).toMatch(/^data:image\/svg\+xml/)
    await page.getByRole('button', { name: 'Where is my parcel?' }).click()
    const call = await model.next()
    expect(call.said).toBe('Where is my parcel?')
    call.say('At the door.').end()
    await finished(page)
    await message(page).fill('Thanks')
    await expect(send(page)).toHaveCSS('background-color', 'rgb(37, 99, 235)')
    expect(await axe(page)).toEqual([])

    const policy = response?.headers()['content-security-policy'] ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("script-src 'self'; style-src 'self'")
    expect(policy).not.toContain('unsafe')
    expect(requests.filter((url) => !url.startsWith(server.url) && !url.startsWith('data:'))).toEqual([])
    const script = requests.find((url) => /\/assets\/index-.*\.js$/.test(url)) ?? ''
    const asset = await fetch(script, { headers: { 'accept-encoding': 'br' } })
    expect(asset.headers.get('content-encoding')).toBe('br')
    expect(asset.headers.get('cache-control')).toContain('immutable')
    const again = await fetch(script, { headers: { 'if-none-match': asset.headers.get('etag') ?? '' } })
    expect(again.status).toBe(304)
    expect(problems).toEqual([])
  } finally {
    await server.stop()
  }
})

test('the page before signing in, and the chat after it, weigh no more than they may', async ({ page, model }) => {
  const sha256 = createHash('sha256').update('loquat_weighing').digest('hex')
  const server = await Server.start(model.url, `[page]\nname = "Ada"\n[auth]\ntype = "ApiKey"\nkeys = [{ name = "scales", sha256 = "${sha256}" }]\n`)
  try {
    const problems = watch(page)
    const scripts = new Set<string>()
    page.on('request', (r) => /\.js$/.test(new URL(r.url()).pathname) && scripts.add(r.url()))
    /** What all scripts that the page has asked for so far weigh in gzip, in bytes. */
    const weight = async () => {
      // fetch() unpacks what it gets.
      const sizes = [...scripts].map((url) => new Promise<number>((told, failed) => get(url, { headers: { 'accept-encoding': 'gzip' } }, (answer) => {
        let size = 0
        answer.on('data', (piece: Buffer) => (size += piece.length)).on('end', () => told(size))
      }).on('error', failed)))
      return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
    }
    await page.goto(server.url)
    await expect(page.getByLabel('API key')).toBeVisible()
    await page.waitForLoadState('networkidle')
    const before = await weight()
    expect(before).toBeGreaterThan(20_000) // it is weighed at all
    expect(before).toBeLessThanOrEqual(100_000)
    await page.getByLabel('API key').fill('loquat_weighing')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await ask(page, 'hello')
    ;(await model.next()).say('It is **fine**.').end()
    await finished(page)
    await expect(words(page).locator('strong')).toHaveText('fine')
    await page.waitForLoadState('networkidle')
    const whole = await weight()
    expect(whole).toBeGreaterThan(before)
    expect(whole).toBeLessThanOrEqual(300_000)
    console.log(`JavaScript in gzip: ${before} bytes before sign-in, ${whole} with the chat`)
    expect(problems).toEqual([])
  } finally {
    await server.stop()
  }
})

test('a server that keeps nothing has no list, and still converses', async ({ page, model }) => {
  const server = await Server.start(model.url, 'store = "none"\n[page]\nname = "Ada"\n')
  try {
    const problems = watch(page)
    await page.goto(server.url)
    await expect(message(page)).toBeVisible()
    await expect(page.getByRole('navigation', { name: 'Conversations' })).toHaveCount(0)
    await ask(page, 'hello')
    ;(await model.next()).say('Hello.').end()
    await finished(page)
    await ask(page, 'again')
    ;(await model.next()).say('Hello again.').end()
    await expect(words(page)).toHaveText('Hello again.')
    await finished(page)
    expect(await axe(page)).toEqual([])
    expect(problems).toEqual([])
  } finally {
    await server.stop()
  }
})

test('a model that is not installed is said to be so, with what installs it', async ({ page }) => {
  const empty = mkdtempSync(join(tmpdir(), 'loquat-no-model-'))
  const server = await Server.start(undefined, '[page]\nname = "Ada"\n', { env: { LOQUAT_MODEL_DIR: empty } })
  try {
    const problems = watch(page, [/503/])
    await page.goto(server.url)
    await expect(page.locator('[data-note=not-installed] code').last()).toHaveText('loquat model fetch')
    expect(await axe(page)).toEqual([])
    await ask(page, 'hello')
    await expect(last(page).getByRole('alert')).toContainText('not installed')
    await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible()
    expect(await axe(page)).toEqual([])
    expect(problems).toEqual([])
  } finally {
    await server.stop()
    rmSync(empty, { recursive: true })
  }
})
