/** The page's own form for a Cognito user pool: SRP, so the password never leaves the browser in the clear. */
import { Amplify } from 'aws-amplify'
import * as amplify from 'aws-amplify/auth'
import type { AuthConfig } from '../api/types'
import { Gate, type Provider } from './index'

/** What the form has to ask next. */
export type Step =
  | { name: 'signIn' | 'signUp' | 'forgot' | 'newPassword' | 'totp' | 'done' }
  | { name: 'confirm'; username: string; password?: string }
  | { name: 'reset'; username: string }
  | { name: 'totpSetup'; secret: string; uri: string }

export class CognitoForm extends Gate implements Provider {
  readonly kind = 'form'
  private name: string | undefined

  constructor(private readonly config: AuthConfig) {
    super()
    const userPoolId = config.user_pool_id ?? ''
    const userPoolClientId = config.user_pool_client_id ?? config.client_id ?? ''
    const userPoolEndpoint = config.user_pool_endpoint
    Amplify.configure({ Auth: { Cognito: { userPoolId, userPoolClientId, ...(userPoolEndpoint && { userPoolEndpoint }) } } })
  }

  private async tokens(forceRefresh = false) {
    const session = await amplify.fetchAuthSession({ forceRefresh })
    return session.tokens
  }

  async restore() {
    try {
      const tokens = await this.tokens()
      const { email, preferred_username, sub } = tokens?.idToken?.payload ?? {}
      this.name = [email, preferred_username, sub].find((v) => typeof v === 'string') as string | undefined
      return tokens !== undefined
    } catch {
      return false
    }
  }

  async token() {
    const tokens = await this.tokens().catch(() => undefined)
    return (this.config.api_token === 'access' ? tokens?.accessToken : tokens?.idToken)?.toString()
  }

  renew = () =>
    this.tokens(true).then(
      (tokens) => tokens !== undefined,
      () => false,
    )
  user = () => this.name
  signOut = () => amplify.signOut()

  async signIn(username: string, password: string): Promise<Step> {
    // A session that the server no longer takes would make Amplify refuse a new sign-in.
    await amplify.signOut().catch(() => {})
    return this.after(await amplify.signIn({ username, password }), username, password)
  }

  /** Answers a challenge: a one-time code, or a new password. */
  challenge = async (response: string): Promise<Step> => this.after(await amplify.confirmSignIn({ challengeResponse: response }))

  private async after({ isSignedIn, nextStep }: amplify.SignInOutput, username = '', password?: string): Promise<Step> {
    if (isSignedIn) {
      await this.restore()
      return { name: 'done' }
    }
    switch (nextStep.signInStep) {
      case 'CONFIRM_SIGN_UP':
        return { name: 'confirm', username, password }
      case 'RESET_PASSWORD':
        await amplify.resetPassword({ username })
        return { name: 'reset', username }
      case 'CONFIRM_SIGN_IN_WITH_NEW_PASSWORD_REQUIRED':
        return { name: 'newPassword' }
      case 'CONTINUE_SIGN_IN_WITH_TOTP_SETUP':
        return {
          name: 'totpSetup',
          secret: nextStep.totpSetupDetails.sharedSecret,
          uri: nextStep.totpSetupDetails.getSetupUri(location.hostname).toString(),
        }
      case 'CONFIRM_SIGN_IN_WITH_TOTP_CODE':
      case 'CONFIRM_SIGN_IN_WITH_SMS_CODE':
      case 'CONFIRM_SIGN_IN_WITH_EMAIL_CODE':
        return { name: 'totp' }
      default:
        throw new Error(`This page cannot do the sign-in step ${nextStep.signInStep}.`)
    }
  }

  async signUp(username: string, password: string): Promise<Step> {
    const attributes = username.includes('@') ? { email: username } : {}
    const result = await amplify.signUp({ username, password, options: { userAttributes: attributes } })
    return result.isSignUpComplete ? this.signIn(username, password) : { name: 'confirm', username, password }
  }

  async confirm(username: string, code: string, password?: string): Promise<Step> {
    await amplify.confirmSignUp({ username, confirmationCode: code })
    return password === undefined ? { name: 'signIn' } : this.signIn(username, password)
  }

  resend = (username: string) => amplify.resendSignUpCode({ username })

  async forgot(username: string): Promise<Step> {
    await amplify.resetPassword({ username })
    return { name: 'reset', username }
  }

  async reset(username: string, code: string, password: string): Promise<Step> {
    await amplify.confirmResetPassword({ username, confirmationCode: code, newPassword: password })
    return this.signIn(username, password)
  }
}
