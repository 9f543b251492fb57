/** Signing in at a Cognito user pool, emulated by MiniStack: by our own form. */
import { createHmac } from 'node:crypto'
import type { Page } from '@playwright/test'
import { Cognito } from './cognito'
import { freePort, Server } from './server'
import { ask, axe, expect, finished, message, openList, test as base, watch, words } from './support'

const PASSWORD = 'Correct-Horse-1'
const ANN = 'ann@example.org'

const test = base.extend<{ pool: Cognito; site: Server }>({
  pool: async ({}, use) => {
    const pool = await Cognito.start()
    await use(pool)
    pool.stop()
  },
  site: async ({ pool, model }, use) => {
    const port = await freePort()
    await pool.register(`http://127.0.0.1:${port}/`)
    const server = await Server.start(model.url, `[page]\nname = "Ada"\n${pool.toml('form')}`, { port })
    await use(server)
    await server.stop()
  },
})

const fill = (page: Page, label: string, text: string) => page.getByLabel(label, { exact: true }).fill(text)
const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click()
const signIn = async (page: Page, username: string, password: string) => {
  await fill(page, 'Email or user name', username)
  await fill(page, 'Password', password)
  await press(page, 'Sign in')
}
const signOut = async (page: Page) => {
  await openList(page)
  await page.getByRole('button', { name: ANN }).click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  await expect(page.getByLabel('Password', { exact: true })).toBeVisible()
}

test('the form signs up, confirms, signs in by SRP, and helps who forgot the password', async ({ page, site, model }) => {
  // A wrong password is answered by 400, a conversation that is not there by 404.
  const problems = watch(page, [/status of 40[04]/])
  await page.goto(`${site.url}/c/deep-link`)
  await expect(page.getByLabel('Password', { exact: true })).toBeVisible()
  expect(await axe(page), 'sign in').toEqual([])
  await press(page, 'Create account')
  expect(await axe(page), 'sign up').toEqual([])
  await fill(page, 'Email or user name', ANN)
  await fill(page, 'Password', PASSWORD)
  await press(page, 'Create account')
  await expect(page.getByText('We have sent you a code.')).toBeVisible()
  expect(await axe(page), 'confirm').toEqual([])
  await fill(page, 'Code', '123456')
  await press(page, 'Confirm your account')
  // The password that was just chosen is not asked for again.
  await expect(page.getByRole('alert')).toHaveText(/does not exist/)
  await page.goto(site.url)
  await ask(page, 'hello')
  ;(await model.next()).say('Signed in.').end()
  await finished(page)
  await page.reload()
  await expect(words(page)).toHaveText('Signed in.')
  await signOut(page)

  await signIn(page, ANN, 'Wrong-Horse-1')
  await expect(page.getByRole('alert')).toContainText('Signing in did not work')
  expect(await axe(page), 'refused').toEqual([])
  await press(page, 'Forgot password?')
  expect(await axe(page), 'forgot').toEqual([])
  await fill(page, 'Email or user name', ANN)
  await press(page, 'Reset password')
  await fill(page, 'Code', '123456')
  await fill(page, 'New password', 'Another-Horse-2')
  expect(await axe(page), 'reset').toEqual([])
  await press(page, 'Reset password')
  await expect(message(page)).toBeVisible()
  await signOut(page)
  await signIn(page, ANN, 'Another-Horse-2')
  await expect(message(page)).toBeVisible()
  expect(problems).toEqual([])
})

test('the form asks for a new password where an administrator chose the first', async ({ page, pool, site }) => {
  await pool.call('AdminCreateUser', { UserPoolId: pool.pool, Username: ANN, TemporaryPassword: 'Temporary-1', MessageAction: 'SUPPRESS' })
  const problems = watch(page)
  await page.goto(site.url)
  await signIn(page, ANN, 'Temporary-1')
  await fill(page, 'New password', PASSWORD)
  await press(page, 'Sign in')
  await expect(message(page)).toBeVisible()
  expect(problems).toEqual([])
})

/** RFC 6238: six digits that an authenticator app shows now. */
const oneTimeCode = (secret: string): string => {
  const bits = [...secret].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)))
  const mac = createHmac('sha1', key).update(counter).digest()
  const at = (mac.at(-1) ?? 0) & 15
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

test('the form asks for the code of an authenticator app', async ({ page, pool, site }) => {
  await pool.call('SetUserPoolMfaConfig', { UserPoolId: pool.pool, MfaConfiguration: 'OPTIONAL', SoftwareTokenMfaConfiguration: { Enabled: true } })
  await pool.call('AdminCreateUser', { UserPoolId: pool.pool, Username: ANN, MessageAction: 'SUPPRESS' })
  await pool.call('AdminSetUserPassword', { UserPoolId: pool.pool, Username: ANN, Password: PASSWORD, Permanent: true })
  const problems = watch(page, [/status of 400/])
  await page.goto(site.url)
  await signIn(page, ANN, PASSWORD)
  await expect(message(page)).toBeVisible()
  const AccessToken = await page.evaluate(() => Object.entries(localStorage).find(([key]) => key.endsWith('.accessToken'))?.[1])
  const { SecretCode: secret } = await pool.call<{ SecretCode: string }>('AssociateSoftwareToken', { AccessToken })
  await pool.call('VerifySoftwareToken', { AccessToken, UserCode: oneTimeCode(secret) })
  await signOut(page)

  await signIn(page, ANN, PASSWORD)
  await expect(page.getByText('Enter the code of your authenticator app.')).toBeVisible()
  expect(await axe(page), 'one-time code').toEqual([])
  await fill(page, 'Code', '000000')
  await press(page, 'Sign in')
  await expect(page.getByRole('alert')).toContainText('Signing in did not work')
  await fill(page, 'Code', oneTimeCode(secret))
  await press(page, 'Sign in')
  await expect(message(page)).toBeVisible()
  expect(problems).toEqual([])
})

/**
 * Makes the pool ask for an authenticator app at the next sign-in, which MiniStack never does by itself: its tokens are
 * held back, and handed out once it has verified a code of the app that was set up with them.
 */
const askForApp = async (page: Page, pool: Cognito) => {
  let held: { AuthenticationResult: { AccessToken: string } } | undefined
  await page.route(`${pool.url}/**`, async (route) => {
    const request = route.request()
    const action = request.headers()['x-amz-target']?.split('.').at(-1)
    const body = request.method() === 'POST' ? (request.postDataJSON() as Record<string, string>) : {}
    const Session = 'held-back'
    if (action === 'RespondToAuthChallenge' && body.ChallengeName === 'PASSWORD_VERIFIER') {
      const answer = await route.fetch()
      held = (await answer.json()) as typeof held
      const ChallengeParameters = { MFAS_CAN_SETUP: '["SOFTWARE_TOKEN_MFA"]', USER_ID_FOR_SRP: ANN }
      return route.fulfill({ response: answer, json: { ChallengeName: 'MFA_SETUP', ChallengeParameters, Session } })
    }
    if (held && body.Session === Session) {
      if (action === 'RespondToAuthChallenge') return route.fulfill({ json: held, headers: { 'access-control-allow-origin': '*' } })
      const { AccessToken } = held.AuthenticationResult
      const answer = await route.fetch({ postData: JSON.stringify({ ...body, Session: undefined, AccessToken }) })
      return route.fulfill({ response: answer, json: { ...((await answer.json()) as object), Session } })
    }
    return route.continue()
  })
}

test('the form sets up an authenticator app where the pool wants one', async ({ page, pool, site, model }) => {
  await pool.call('SetUserPoolMfaConfig', { UserPoolId: pool.pool, MfaConfiguration: 'OPTIONAL', SoftwareTokenMfaConfiguration: { Enabled: true } })
  await pool.call('AdminCreateUser', { UserPoolId: pool.pool, Username: ANN, MessageAction: 'SUPPRESS' })
  await pool.call('AdminSetUserPassword', { UserPoolId: pool.pool, Username: ANN, Password: PASSWORD, Permanent: true })
  await askForApp(page, pool)
  const problems = watch(page, [/status of 400/])
  await page.goto(site.url)
  await signIn(page, ANN, PASSWORD)
  await expect(page.getByText('Add this key to your authenticator app')).toBeVisible()
  expect(await axe(page), 'setting up').toEqual([])
  const secret = (await page.locator('form p.font-mono').textContent()) ?? ''
  expect(secret).toMatch(/^[A-Z2-7]{16,}$/)
  const app = page.getByRole('link', { name: 'otpauth://' })
  await expect(app).toHaveAttribute('href', new RegExp(`^otpauth://totp/.*secret=${secret}`))
  await fill(page, 'Code', '000000')
  await press(page, 'Sign in')
  await expect(page.getByRole('alert')).toContainText('Signing in did not work')
  await fill(page, 'Code', oneTimeCode(secret))
  await press(page, 'Sign in')
  await expect(message(page)).toBeVisible()
  await ask(page, 'hello')
  ;(await model.next()).say('Signed in.').end()
  await finished(page)
  // The next sign-in asks for the app's code.
  await page.unrouteAll()
  await signOut(page)
  await signIn(page, ANN, PASSWORD)
  await expect(page.getByText('Enter the code of your authenticator app.')).toBeVisible()
  await fill(page, 'Code', oneTimeCode(secret))
  await press(page, 'Sign in')
  await expect(message(page)).toBeVisible()
  expect(problems).toEqual([])
})

test('a token that has ended is renewed silently, and costs no message', async ({ page, pool, site, model }) => {
  await pool.call('AdminCreateUser', { UserPoolId: pool.pool, Username: ANN, MessageAction: 'SUPPRESS' })
  await pool.call('AdminSetUserPassword', { UserPoolId: pool.pool, Username: ANN, Password: PASSWORD, Permanent: true })
  const problems = watch(page)
  const renewals: string[] = []
  page.on('request', (r) => r.method() === 'POST' && /REFRESH_TOKEN|GetTokensFromRefreshToken/.test(`${r.postData()} ${r.headers()['x-amz-target']}`) && renewals.push(r.url()))
  await page.goto(site.url)
  await signIn(page, ANN, PASSWORD)
  await expect(message(page)).toBeVisible()
  expect(renewals).toEqual([])
  await page.clock.setSystemTime(Date.now() + 2 * 3_600_000)
  await ask(page, 'are you still there?')
  const call = await model.next()
  expect(call.said).toBe('are you still there?')
  call.say('I am.').end()
  await finished(page)
  expect(renewals.length).toBeGreaterThan(0)
  expect(problems).toEqual([])
})
