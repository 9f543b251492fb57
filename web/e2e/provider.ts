/** A certified OpenID Connect provider (npm `oidc-provider`) with its own pages for signing in, consenting and leaving. */
import { generateKeyPairSync } from 'node:crypto'
import type { Server } from 'node:http'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { freePort } from './server'

/** It is installed for the Rust tests already. */
const MODULE = resolve(import.meta.dirname, '../../tests/node_modules/oidc-provider/lib/index.js')

interface Library {
  Provider: new (issuer: string, configuration: object) => {
    listen(port: number, host: string, up: () => void): Server
    on(event: 'grant.success', listener: (ctx: { oidc: { params: { grant_type: string } } }) => void): void
  }
}

export class CertifiedProvider {
  readonly client = 'page'
  readonly grants: string[] = []

  private constructor(
    readonly url: string,
    private readonly server: Server,
  ) {}

  /** `page`: where the page is served, with its closing slash. */
  static async start(page: string): Promise<CertifiedProvider> {
    const { Provider } = (await import(pathToFileURL(MODULE).href)) as Library
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })
    const provider = new Provider(url, {
      clients: [
        {
          client_id: 'page', token_endpoint_auth_method: 'none', application_type: 'native',
          grant_types: ['authorization_code', 'refresh_token'], redirect_uris: [page], post_logout_redirect_uris: [page],
        },
      ],
      jwks: { keys: [{ ...key, kid: 'k1', use: 'sig', alg: 'RS256' }] },
      cookies: { keys: ['of the tests'] },
      pkce: { required: () => true },
      claims: { openid: ['sub'], email: ['email'] },
      conformIdTokenClaims: false,
      clientBasedCORS: () => true,
      issueRefreshToken: () => true,
      findAccount: (_: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.com` }) }),
      ttl: { IdToken: 300, AccessToken: 300, Interaction: 300, Session: 300, Grant: 300, AuthorizationCode: 60, RefreshToken: 600 },
    })
    const server = await new Promise<Server>((done) => {
      const listening: Server = provider.listen(port, '127.0.0.1', () => done(listening))
    })
    const started = new CertifiedProvider(url, server)
    provider.on('grant.success', (ctx) => void started.grants.push(ctx.oidc.params.grant_type))
    return started
  }

  stop() {
    this.server.closeAllConnections()
    this.server.close()
  }
}
