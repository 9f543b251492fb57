/** OpenID Connect, authorization code with PKCE: Cognito's managed login, Keycloak, Auth0, Entra. */
import { UserManager, WebStorageStateStore, type User } from 'oidc-client-ts'
import type { AuthConfig } from '../api/types'
import { Gate, type Provider } from './index'

/** A token with less than this left is renewed before it is used. */
const MARGIN_SECONDS = 60

const home = () => `${location.origin}/`

export class Oidc extends Gate implements Provider {
  readonly kind = 'redirect'
  private readonly manager: UserManager
  private current: User | null = null
  private renewing: Promise<boolean> | undefined

  constructor(private readonly config: AuthConfig) {
    super()
    const pool = `https://cognito-idp.${config.region}.amazonaws.com/${config.user_pool_id}`
    this.manager = new UserManager({
      authority: config.authority ?? pool,
      client_id: this.clientId,
      redirect_uri: home(),
      post_logout_redirect_uri: home(),
      response_type: 'code',
      scope: config.scope ?? 'openid profile email',
      userStore: new WebStorageStateStore({ store: sessionStorage }),
      // The page renews by itself when it needs a token: a timer would miss the time that a laptop sleeps.
      automaticSilentRenew: false,
      loadUserInfo: false,
    })
  }

  private get clientId() {
    return this.config.client_id ?? this.config.user_pool_client_id ?? ''
  }

  /** Finishes a sign-in that comes back from the provider, or takes up the tab's session. Throws what the provider said. */
  async restore() {
    const query = new URLSearchParams(location.search)
    if (query.has('state') && (query.has('code') || query.has('error'))) {
      const path = home()
      try {
        const user = await this.manager.signinCallback()
        this.current = user ?? null
        const state = user?.state
        history.replaceState(null, '', typeof state === 'string' && state.startsWith('/') ? state : path)
      } catch (error) {
        history.replaceState(null, '', path)
        throw error
      }
    } else this.current = await this.manager.getUser()
    if (this.current && this.expiresSoon()) await this.renew()
    return this.current !== null && !this.current.expired
  }

  private expiresSoon = () => (this.current?.expires_in ?? Infinity) < MARGIN_SECONDS

  async token() {
    if (this.expiresSoon()) await this.renew()
    const user = this.current
    return (this.config.api_token === 'id' ? user?.id_token : user?.access_token) ?? undefined
  }

  /** One renewal at a time: providers that rotate refresh tokens take a second use for theft. */
  renew() {
    this.renewing ??= this.renewOnce().finally(() => (this.renewing = undefined))
    return this.renewing
  }

  private async renewOnce() {
    if (!this.current?.refresh_token) return false
    try {
      this.current = await this.manager.signinSilent()
      return this.current !== null
    } catch {
      return false
    }
  }

  signIn = () => this.manager.signinRedirect({ state: location.pathname + location.search })

  user = () => {
    const profile = this.current?.profile
    return profile?.email ?? profile?.preferred_username ?? profile?.name ?? profile?.sub
  }

  async signOut() {
    this.current = null
    await this.manager.removeUser()
    if (this.config.domain) {
      // Cognito's logout takes other parameters than the standard's.
      const domain = this.config.domain.replace(/^(?!https?:\/\/)/, 'https://').replace(/\/$/, '')
      location.assign(`${domain}/logout?${new URLSearchParams({ client_id: this.clientId, logout_uri: home() })}`)
      return
    }
    const end = await this.manager.metadataService.getEndSessionEndpoint().catch(() => undefined)
    if (end) await this.manager.signoutRedirect()
  }
}
