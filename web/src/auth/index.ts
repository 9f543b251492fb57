/** Chooses, at run time from `/config.json`, how people sign in. Every way is one `Provider`; the heavy ones are lazy chunks. */
import type { TokenSource } from '../api/transport'
import type { AuthConfig } from '../api/types'
import { persist } from '../lib/lazy'
import { readSession, writeSession } from '../lib/storage'

export interface Provider extends TokenSource {
  /** How to sign in: nothing to do, a key to type, a page to go to, or our own form. */
  readonly kind: 'none' | 'key' | 'redirect' | 'form'
  /** True when a session of an earlier visit is still good. */
  restore(): Promise<boolean>
  /** What to call the user. */
  user(): string | undefined
  signOut(): Promise<void>
  /** Called when the user has to sign in again while the page goes on. */
  onSignInNeeded(listener: (needed: boolean) => void): void
  /** Tells everybody who waits in `signInAgain` that it happened. */
  signedIn(): void
}

/** The waiting that all providers share. */
export abstract class Gate {
  private waiting: { promise: Promise<void>; resolve: () => void } | undefined
  private listener: (needed: boolean) => void = () => {}

  onSignInNeeded(listener: (needed: boolean) => void) {
    this.listener = listener
  }

  signInAgain(): Promise<void> {
    if (!this.waiting) {
      let resolve = () => {}
      const promise = new Promise<void>((r) => (resolve = r))
      this.waiting = { promise, resolve }
    }
    this.listener(true)
    return this.waiting.promise
  }

  signedIn() {
    this.waiting?.resolve()
    this.waiting = undefined
    this.listener(false)
  }
}

class NoSignIn extends Gate implements Provider {
  readonly kind = 'none'
  restore = async () => true
  token = async () => undefined
  renew = async () => false
  user = () => undefined
  signOut = async () => {}
}

const KEY = 'api_key'

export class ApiKey extends Gate implements Provider {
  readonly kind = 'key'
  restore = async () => readSession(KEY) !== null
  token = async () => readSession(KEY) ?? undefined
  renew = async () => false
  user = () => undefined
  signOut = async () => writeSession(KEY, null)
  use(key: string) {
    writeSession(KEY, key)
    this.signedIn()
  }
}

export async function providerFor(config: AuthConfig): Promise<Provider> {
  if (config.type === 'none') return new NoSignIn()
  if (config.type === 'api_key') return new ApiKey()
  if (config.type === 'cognito' && config.login === 'form') return new (await persist(() => import('./cognito'))).CognitoForm(config)
  return new (await persist(() => import('./oidc'))).Oidc(config)
}
