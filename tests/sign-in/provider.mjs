// A certified OpenID Connect provider, and a certified client that signs a user in with a code and PKCE. Reads commands
// from standard input, one a line, and answers each with one line of JSON:
//   token   signs in; the tokens
//   short   the same, with tokens that a server with a minute of leeway accepts for two seconds
//   rotate  starts again with another signing key
//
// node provider.mjs PORT

import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'

import { Provider } from 'oidc-provider'
import * as oidc from 'openid-client'

import { walk } from './walk.mjs'

const port = Number(process.argv[2])
const issuer = `http://127.0.0.1:${port}`
const callback = 'http://127.0.0.1:1/callback'
const client = { client_id: 'page', token_endpoint_auth_method: 'none', redirect_uris: [callback], application_type: 'native' }

function key() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' }
}

// How a connection is found whose other end has gone.
const DEAD = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])

// How long an id token lives, in seconds.
let lifetime = 300

async function start() {
  const provider = new Provider(issuer, {
    clients: [client],
    jwks: { keys: [key()] },
    cookies: { keys: ['of the tests'] },
    pkce: { required: () => true },
    claims: { openid: ['sub'], roles: ['roles'] },
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, roles: ['chiefs'] }) }),
    ttl: { IdToken: () => lifetime, AccessToken: 300, Interaction: 300, Session: 300, Grant: 300, AuthorizationCode: 60 },
  })
  return new Promise((resolve) => {
    const server = provider.listen(port, '127.0.0.1', () => resolve(server))
  })
}

async function token() {
  const configuration = await oidc.discovery(new URL(issuer), client.client_id, undefined, oidc.None(), {
    execute: [oidc.allowInsecureRequests],
  })
  const verifier = oidc.randomPKCECodeVerifier()
  const state = oidc.randomState()
  const begin = oidc.buildAuthorizationUrl(configuration, {
    redirect_uri: callback,
    scope: 'openid roles',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
  })
  const back = await walk(begin.href, callback, { login: 'ann', password: 'any' })
  const granted = await oidc.authorizationCodeGrant(configuration, back, {
    pkceCodeVerifier: verifier,
    expectedState: state,
  })
  return { id: granted.id_token, access: granted.access_token }
}

// Signs in a minute ago: nothing that checks tokens here needs to know.
async function short() {
  const now = Date.now
  Date.now = () => now() - 60_000
  lifetime = 2
  try {
    return await token()
  } finally {
    Date.now = now
    lifetime = 300
  }
}

let server = await start()
console.error = () => {}
console.log(JSON.stringify({ issuer }))
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'token') {
    console.log(JSON.stringify(await token()))
  } else if (line === 'short') {
    console.log(JSON.stringify(await short()))
  } else if (line === 'rotate') {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    server = await start()
    // The connections that this process kept to the old one are found to be dead here, and not by the next sign-in.
    for (let n = 0; n < 5; n += 1) {
      try {
        await (await fetch(issuer)).text()
      } catch (error) {
        if (!DEAD.has(error.cause?.code)) throw error
      }
    }
    console.log(JSON.stringify({ rotated: true }))
  }
}
process.exit(0)
