/** An OpenID Connect provider for one test: code with PKCE, refresh tokens that rotate, and a user who always agrees. */
import { createHash, createSign, generateKeyPairSync, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const CLIENT = 'the-page'
const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

export class Issuer {
  private readonly keys = generateKeyPairSync('rsa', { modulusLength: 2048 })
  private readonly codes = new Map<string, { challenge: string; nonce: string | null }>()
  private readonly refreshTokens = new Set<string>()
  private readonly server: Server
  readonly client = CLIENT
  /** How long tokens live, in seconds. */
  lifetime = 300
  refreshes = 0

  private constructor() {
    this.server = createServer((req, res) => void this.answer(req, res))
  }

  static async start(): Promise<Issuer> {
    const issuer = new Issuer()
    await new Promise<void>((resolve) => issuer.server.listen(0, '127.0.0.1', resolve))
    return issuer
  }
  stop() {
    this.server.closeAllConnections()
    this.server.close()
  }
  get url() {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  private sign(claims: object): string {
    const now = Math.floor(Date.now() / 1000)
    const body = { iss: this.url, aud: CLIENT, sub: 'user-1', email: 'ada@example.com', iat: now, exp: now + this.lifetime, ...claims }
    const text = `${base64({ alg: 'RS256', kid: 'k1', typ: 'JWT' })}.${base64(body)}`
    return `${text}.${createSign('RSA-SHA256').update(text).sign(this.keys.privateKey).toString('base64url')}`
  }

  private tokens(nonce: string | null) {
    const refresh = randomUUID()
    this.refreshTokens.add(refresh)
    const tokens = { access_token: this.sign({ client_id: CLIENT }), id_token: this.sign(nonce ? { nonce } : {}), refresh_token: refresh }
    return { ...tokens, token_type: 'Bearer', expires_in: this.lifetime, scope: 'openid' }
  }

  private async answer(req: IncomingMessage, res: ServerResponse) {
    const url = new URL(req.url ?? '/', this.url)
    const json = (status: number, body: object) => {
      res.writeHead(status, { 'content-type': 'application/json', 'access-control-allow-origin': '*', 'access-control-allow-headers': '*' })
      res.end(JSON.stringify(body))
    }
    if (req.method === 'OPTIONS') return json(200, {})
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return json(200, {
          issuer: this.url,
          authorization_endpoint: `${this.url}/authorize`,
          token_endpoint: `${this.url}/token`,
          jwks_uri: `${this.url}/jwks`,
          end_session_endpoint: `${this.url}/logout`,
        })
      case '/jwks':
        return json(200, { keys: [{ ...this.keys.publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'RS256', use: 'sig' }] })
      case '/authorize': {
        const { searchParams: q } = url
        const code = randomUUID()
        this.codes.set(code, { challenge: q.get('code_challenge') ?? '', nonce: q.get('nonce') })
        const back = new URL(q.get('redirect_uri') ?? '')
        back.search = new URLSearchParams({ code, state: q.get('state') ?? '' }).toString()
        res.writeHead(302, { location: back.href })
        return void res.end()
      }
      case '/logout': {
        res.writeHead(302, { location: url.searchParams.get('post_logout_redirect_uri') ?? '/' })
        return void res.end()
      }
      case '/token': {
        const chunks: Buffer[] = []
        for await (const chunk of req) chunks.push(chunk as Buffer)
        const q = new URLSearchParams(Buffer.concat(chunks).toString())
        if (q.get('grant_type') === 'refresh_token') {
          // A refresh token counts once.
          if (!this.refreshTokens.delete(q.get('refresh_token') ?? '')) return json(400, { error: 'invalid_grant' })
          this.refreshes += 1
          return json(200, this.tokens(null))
        }
        const asked = this.codes.get(q.get('code') ?? '')
        this.codes.delete(q.get('code') ?? '')
        const proof = createHash('sha256').update(q.get('code_verifier') ?? '').digest('base64url')
        if (!asked || asked.challenge !== proof) return json(400, { error: 'invalid_grant' })
        return json(200, this.tokens(asked.nonce))
      }
      default:
        return json(404, {})
    }
  }

  /** The user's session at the provider is over: no token is renewed any more. */
  revoke() {
    this.refreshTokens.clear()
  }
}
