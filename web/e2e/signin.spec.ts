/** Signing in: by a key of the server, and by an OpenID Connect provider. */
import { createHash } from 'node:crypto'
import { Issuer } from './issuer'
import { Server } from './server'
import { ask, axe, expect, finished, message, test, watch, words } from './support'

const KEY = 'loquat_an-example-key-for-the-browser-tests-only'

test('by key: a wrong one is refused, a right one opens the chat, and signing out closes it', async ({ page, model }) => {
  const sha256 = createHash('sha256').update(KEY).digest('hex')
  const server = await Server.start(model.url, `[page]\nname = "Ada"\n[auth]\ntype = "ApiKey"\nkeys = [{ name = "test", sha256 = "${sha256}" }]\n`)
  try {
    const problems = watch(page, [/401/])
    await page.goto(`${server.url}/`)
    const field = page.getByLabel('API key')
    await expect(field).toBeFocused()
    expect(await axe(page)).toEqual([])
    await field.fill('wrong')
    await page.getByRole('button', { name: 'Sign in' }).click()
    // The list is refused, and the form comes back over the page.
    await expect(page.getByText('Your session has ended.')).toBeVisible()
    await page.getByLabel('API key').fill(KEY)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await ask(page, 'hello')
    ;(await model.next()).say('Signed in.').end()
    await finished(page)
    await page.reload()
    await expect(words(page)).toHaveText('Signed in.')
    await page.getByRole('button', { name: 'Settings' }).click()
    await page.getByRole('menuitem', { name: 'Sign out' }).click()
    await expect(page.getByLabel('API key')).toBeVisible()
    expect(problems).toEqual([])
  } finally {
    await server.stop()
  }
})

test('by OpenID Connect: deep links survive, tokens are renewed, and an ended session costs no message', async ({ page, model }) => {
  const issuer = await Issuer.start()
  const server = await Server.start(model.url, `[page]\nname = "Ada"\n[auth]\ntype = "Oidc"\nissuer = "${issuer.url}"\nclient_id = "${issuer.client}"\napi_token = "id"\n`)
  try {
    const problems = watch(page, [/401|400|404/])
    await page.goto(`${server.url}/?inspect`)
    await page.getByRole('button', { name: 'Continue to sign-in' }).click()
    await expect(message(page)).toBeVisible()
    await expect(page).toHaveURL(/\/\?inspect$/)
    await expect(page.getByRole('button', { name: 'ada@example.com' })).toBeVisible()
    await ask(page, 'hello')
    ;(await model.next()).say('Signed in.').end()
    await finished(page)

    // The next token is good for less than the page's margin, so each request renews it first.
    issuer.lifetime = 30
    await page.evaluate(() => {
      for (const key of Object.keys(sessionStorage).filter((k) => k.startsWith('oidc.user'))) {
        const user = JSON.parse(sessionStorage.getItem(key)!) as { expires_at: number }
        sessionStorage.setItem(key, JSON.stringify({ ...user, expires_at: Math.floor(Date.now() / 1000) + 5 }))
      }
    })
    await page.reload()
    await expect(words(page)).toHaveText('Signed in.')
    expect(issuer.refreshes).toBeGreaterThan(0)

    // The session ends while the reader writes: the page asks to sign in again, and then sends what was written.
    issuer.revoke()
    issuer.lifetime = 300
    const refused = { status: 401, contentType: 'application/problem+json', body: JSON.stringify({ status: 401, code: 'unauthorized' }) }
    await page.route('**/chat', (route) => route.fulfill(refused), { times: 1 })
    await page.getByRole('button', { name: 'New chat' }).first().click()
    await ask(page, 'not to be lost')
    await expect(page.getByText('Your session has ended.')).toBeVisible()
    await page.getByRole('button', { name: 'Continue to sign-in' }).click()
    const call = await model.next()
    expect(call.said).toBe('not to be lost')
    call.say('Not lost.').end()
    await finished(page)
    await expect(words(page)).toHaveText('Not lost.')
    expect(problems).toEqual([])
  } finally {
    await server.stop()
    issuer.stop()
  }
})
