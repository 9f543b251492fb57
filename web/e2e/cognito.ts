/** Cognito as MiniStack emulates it: real SRP and real signatures, one user pool for one test. */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { freePort } from './server'

const PROGRAM = resolve(import.meta.dirname, '../../.venv/bin/ministack')
/** Any will do: the emulator looks at its form only. */
const AUTHORIZATION = 'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/cognito-idp/aws4_request, SignedHeaders=host, Signature=0'

export class Cognito {
  pool = ''
  client = ''

  private constructor(
    private readonly port: number,
    private readonly home: string,
    private readonly child: ChildProcess,
  ) {}

  static async start(): Promise<Cognito> {
    if (!existsSync(PROGRAM)) throw new Error('The emulator is not installed: `cargo xtask test --only browser` sets it up (.venv).')
    const port = await freePort()
    const home = mkdtempSync(join(tmpdir(), 'loquat-cognito-'))
    const env = {
      PATH: process.env.PATH, HOME: home, GATEWAY_PORT: String(port), BIND_HOST: '127.0.0.1', LAMBDA_EXECUTOR: 'local',
      COGNITO_EMAIL_ENABLED: 'false', S3_PERSIST: '0', IOT_MTLS_ENABLED: '0',
    }
    // A process group of its own, so that whatever it starts ends with it.
    const child = spawn(PROGRAM, [], { cwd: home, env, stdio: 'ignore', detached: true })
    const cognito = new Cognito(port, home, child)
    const deadline = Date.now() + 30_000
    while (!(await fetch(`${cognito.url}/_ministack/health`).then((r) => r.ok, () => false))) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error('The emulator of Cognito did not start.')
      await new Promise((wait) => setTimeout(wait, 50))
    }
    const pool = await cognito.call<{ UserPool: { Id: string } }>('CreateUserPool', { PoolName: 'page', AutoVerifiedAttributes: ['email'], UsernameAttributes: ['email'] })
    cognito.pool = pool.UserPool.Id
    return cognito
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  /** The client of a page at this address. */
  async register(page: string) {
    const { UserPoolClient: client } = await this.call<{ UserPoolClient: { ClientId: string } }>('CreateUserPoolClient', {
      UserPoolId: this.pool, ClientName: 'page', ExplicitAuthFlows: ['ALLOW_USER_SRP_AUTH', 'ALLOW_REFRESH_TOKEN_AUTH'],
      AllowedOAuthFlows: ['code'], AllowedOAuthFlowsUserPoolClient: true, AllowedOAuthScopes: ['openid', 'email', 'profile'],
      CallbackURLs: [page], LogoutURLs: [page], SupportedIdentityProviders: ['COGNITO'],
    })
    this.client = client.ClientId
  }

  async call<T>(action: string, body: object): Promise<T> {
    const answer = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `AWSCognitoIdentityProviderService.${action}`, authorization: AUTHORIZATION },
      body: JSON.stringify(body),
    })
    const json = (await answer.json()) as T
    if (!answer.ok) throw new Error(`${action}: ${JSON.stringify(json)}`)
    return json
  }

  /** What `[auth]` has to say. */
  toml(login: 'form' | 'redirect') {
    return `[auth]\ntype = "Cognito"\nuser_pool_id = "${this.pool}"\nuser_pool_client_id = "${this.client}"\nlogin = "${login}"
jwks_url = "${this.url}/${this.pool}/.well-known/jwks.json"\nuser_pool_endpoint = "${this.url}/"\n`
  }

  stop() {
    try {
      if (this.child.pid !== undefined) process.kill(-this.child.pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
    rmSync(this.home, { recursive: true, force: true })
  }
}
