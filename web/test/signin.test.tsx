import { cleanup, render, screen, waitFor } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { beforeEach, expect, it, vi } from 'vitest'
import type { Config } from '../src/api/types'
import { CognitoForm } from '../src/auth/cognito'
import SignIn from '../src/components/SignIn'
import { I18n } from '../src/i18n'

// Amplify itself is tested by its makers; here is what the page does with its answers.
const amplify = vi.hoisted(() => ({
  signIn: vi.fn(), confirmSignIn: vi.fn(), signUp: vi.fn(), confirmSignUp: vi.fn(), resendSignUpCode: vi.fn(),
  resetPassword: vi.fn(), confirmResetPassword: vi.fn(), fetchAuthSession: vi.fn(), signOut: vi.fn(async () => {}),
}))
vi.mock('aws-amplify/auth', () => amplify)
const configured = vi.hoisted(() => ({ configure: vi.fn() }))
vi.mock('aws-amplify', () => ({ Amplify: configured }))

const auth = { type: 'cognito', login: 'form', user_pool_id: 'eu-west-1_abc', user_pool_client_id: 'client', api_token: 'id' } as const
const config = { agent: { name: 'Ada', suggestions: [] }, auth } as unknown as Config
const tokens = (expired = '') => ({
  tokens: { idToken: { payload: { email: 'ada@example.com' }, toString: () => `id-token${expired}` }, accessToken: { toString: () => 'access-token' } },
})
const step = (signInStep: string, more = {}) => ({ isSignedIn: signInStep === 'DONE', nextStep: { signInStep, ...more } })

let done: ReturnType<typeof vi.fn<() => void>>
let provider: CognitoForm
beforeEach(() => {
  vi.resetAllMocks()
  amplify.signOut.mockResolvedValue(undefined)
  amplify.fetchAuthSession.mockResolvedValue(tokens())
  done = vi.fn<() => void>()
  provider = new CognitoForm(auth)
  render(<SignIn config={config} auth={provider} onDone={done} />)
})

const user = userEvent.setup()
const fill = async (values: Record<string, string>) => {
  for (const [label, value] of Object.entries(values)) await user.type(await screen.findByLabelText(label), value)
}
const press = (name: string) => user.click(screen.getByRole('button', { name }))

it('signs in with a one-time code, and sends the token that the server asks for', async () => {
  amplify.signIn.mockResolvedValue(step('CONFIRM_SIGN_IN_WITH_TOTP_CODE'))
  amplify.confirmSignIn.mockResolvedValue(step('DONE'))
  await fill({ 'Email or user name': 'ada@example.com', Password: 'secret' })
  await press('Sign in')
  await screen.findByText(/authenticator app/)
  await fill({ Code: '123456' })
  await press('Sign in')
  await waitFor(() => expect(done).toHaveBeenCalledOnce())
  expect(amplify.signIn).toHaveBeenCalledWith({ username: 'ada@example.com', password: 'secret' })
  expect(amplify.confirmSignIn).toHaveBeenCalledWith({ challengeResponse: '123456' })
  expect(await provider.token()).toBe('id-token')
  expect(await new CognitoForm({ ...auth, api_token: 'access' }).token()).toBe('access-token')
  expect(provider.user()).toBe('ada@example.com')
})

it('says why a sign-in failed, and lets one try again', async () => {
  amplify.signIn.mockRejectedValueOnce(new Error('Incorrect username or password.')).mockResolvedValueOnce(step('DONE'))
  await fill({ 'Email or user name': 'ada', Password: 'wrong' })
  await press('Sign in')
  expect(await screen.findByRole('alert')).toHaveTextContent('Incorrect username or password.')
  await press('Sign in')
  await waitFor(() => expect(done).toHaveBeenCalledOnce())
})

it('says so in the reader’s language, and keeps what only the provider can say', async () => {
  localStorage.setItem('language', 'de')
  cleanup()
  render(<I18n><SignIn config={config} auth={provider} onDone={done} /></I18n>)
  const refusal = (name: string, message: string) => Object.assign(new Error(message), { name })
  await fill({ 'E-Mail oder Benutzername': 'ada', Passwort: 'wrong' })
  for (const [name, message, shown] of [
    ['NotAuthorizedException', 'Incorrect username or password.', 'Benutzername oder Passwort ist falsch.'],
    ['LimitExceededException', 'Attempt limit exceeded.', 'Zu viele Versuche.'],
    ['NotAuthorizedException', 'User is disabled.', 'User is disabled.'],
  ] as const) {
    amplify.signIn.mockRejectedValueOnce(refusal(name, message))
    await press('Anmelden')
    await waitFor(() => expect(screen.getByRole('alert')).toHaveTextContent(shown))
  }
  localStorage.clear()
})

it('creates an account, confirms it and signs in', async () => {
  amplify.signUp.mockResolvedValue({ isSignUpComplete: false })
  amplify.signIn.mockResolvedValue(step('DONE'))
  await press('Create account')
  await fill({ 'Email or user name': 'ada@example.com', Password: 'secret' })
  await press('Create account')
  await screen.findByText('We have sent you a code.')
  await press('Send a new code')
  expect(amplify.resendSignUpCode).toHaveBeenCalledWith({ username: 'ada@example.com' })
  await fill({ Code: '42' })
  await press('Confirm your account')
  await waitFor(() => expect(done).toHaveBeenCalledOnce())
  expect(amplify.confirmSignUp).toHaveBeenCalledWith({ username: 'ada@example.com', confirmationCode: '42' })
})

it('resets a forgotten password', async () => {
  amplify.signIn.mockResolvedValue(step('DONE'))
  await press('Forgot password?')
  await fill({ 'Email or user name': 'ada' })
  await press('Reset password')
  await press('Send a new code')
  await waitFor(() => expect(amplify.resetPassword).toHaveBeenCalledTimes(2))
  await fill({ Code: '42', 'New password': 'better' })
  await press('Reset password')
  await waitFor(() => expect(done).toHaveBeenCalledOnce())
  expect(amplify.confirmResetPassword).toHaveBeenCalledWith({ username: 'ada', confirmationCode: '42', newPassword: 'better' })
  expect(amplify.signIn).toHaveBeenCalledWith({ username: 'ada', password: 'better' })
})

it('sets up an authenticator app and asks for a new password where the pool wants that', async () => {
  const details = { totpSetupDetails: { sharedSecret: 'ABCDEF', getSetupUri: () => new URL('otpauth://totp/x') } }
  amplify.signIn.mockResolvedValue(step('CONFIRM_SIGN_IN_WITH_NEW_PASSWORD_REQUIRED'))
  amplify.confirmSignIn.mockResolvedValueOnce(step('CONTINUE_SIGN_IN_WITH_TOTP_SETUP', details)).mockResolvedValueOnce(step('DONE'))
  await fill({ 'Email or user name': 'ada', Password: 'temporary' })
  await press('Sign in')
  await fill({ 'New password': 'better' })
  await press('Sign in')
  expect(await screen.findByText('ABCDEF')).toBeInTheDocument()
  await fill({ Code: '123456' })
  await press('Sign in')
  await waitFor(() => expect(done).toHaveBeenCalledOnce())
})

it('renews a token by force, and says when it cannot', async () => {
  expect(await provider.renew()).toBe(true)
  expect(amplify.fetchAuthSession).toHaveBeenLastCalledWith({ forceRefresh: true })
  amplify.fetchAuthSession.mockRejectedValue(new Error('expired'))
  expect(await provider.renew()).toBe(false)
  expect(await provider.token()).toBeUndefined()
})
