/** Signing in: by a key of the server, and by an OpenID Connect provider. */
import { createHash } from 'node:crypto'
import type { Page } from '@playwright/test'
import { Issuer } from './issuer'
import { CertifiedProvider } from './provider'
import { freePort, Server } from './server'
import { ask, axe, closeList, expect, finished, message, openList, test, watch, words } from './support'

/** Makes the token that the page holds one that is about to end. */
const age = (page: Page) =>
  page.evaluate(() => {
    for (const key of Object.keys(sessionStorage).filter((k) => k.startsWith('oidc.user'))) {
      const user = JSON.parse(sessionStorage.getItem(key)!) as { expires_at: number }
      sessionStorage.setItem(key, JSON.stringify({ ...user, expires_at: Math.floor(Date.now() / 1000) + 5 }))
    }
  })

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
    await openList(page)
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
    await openList(page)
    await expect(page.getByRole('button', { name: 'ada@example.com' })).toBeVisible()
    await closeList(page)
    await ask(page, 'hello')
    ;(await model.next()).say('Signed in.').end()
    await finished(page)

    // The next token is good for less than the page's margin, so each request renews it first.
    issuer.lifetime = 30
    await age(page)
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

test('by a certified provider: code and PKCE, a rotated refresh token, and leaving at the provider too', async ({ page, model }) => {
  const port = await freePort()
  const provider = await CertifiedProvider.start(`http://127.0.0.1:${port}/`)
  const server = await Server.start(model.url, `[page]\nname = "Ada"\n[auth]\ntype = "Oidc"\nissuer = "${provider.url}"\nclient_id = "${provider.client}"\nscope = "openid email"\napi_token = "id"\n`, { port })
  const enter = async () => {
    await page.getByRole('button', { name: 'Continue to sign-in' }).click()
    await page.getByPlaceholder('Enter any login').fill('ann')
    await page.getByPlaceholder('and password').fill('any')
    await page.getByRole('button', { name: 'Sign-in' }).click()
    await page.getByRole('button', { name: 'Continue' }).click()
  }
  try {
    await page.goto(`${server.url}/c/no-such-conversation`)
    await enter()
    // Back where the reader wanted to go.
    await expect(page.getByRole('alert')).toHaveText(/does not exist, or has expired/)
    await expect(page).toHaveURL(`${server.url}/c/no-such-conversation`)
    const problems = watch(page)
    await page.goto(server.url)
    await ask(page, 'hello')
    ;(await model.next()).say('Signed in.').end()
    await finished(page)
    expect(provider.grants).toEqual(['authorization_code'])
    await age(page)
    await page.reload()
    await expect(words(page)).toHaveText('Signed in.')
    expect(provider.grants).toEqual(['authorization_code', 'refresh_token'])
    await age(page)
    await page.reload()
    await expect(words(page)).toHaveText('Signed in.')
    expect(provider.grants).toEqual(['authorization_code', 'refresh_token', 'refresh_token'])
    expect(problems).toEqual([])

    await openList(page)
    await page.getByRole('button', { name: 'ann@example.com' }).click()
    await page.getByRole('menuitem', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: 'Yes, sign me out' }).click()
    await expect(page.getByRole('button', { name: 'Continue to sign-in' })).toBeVisible()
    // The provider has forgotten the session, too.
    await page.getByRole('button', { name: 'Continue to sign-in' }).click()
    await expect(page.getByPlaceholder('Enter any login')).toBeVisible()
  } finally {
    await server.stop()
    provider.stop()
  }
})
