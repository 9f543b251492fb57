// Signs a user of a fresh pool in, in both ways that a page has: by SRP with Amazon's own library, and on the pool's page
// with a code and PKCE by a certified OpenID Connect client. Prints the tokens as JSON.
//
// node cognito.mjs http://127.0.0.1:PORT

import { AuthenticationDetails, CognitoUser, CognitoUserPool } from 'amazon-cognito-identity-js'
import * as oidc from 'openid-client'

import { walk } from './walk.mjs'

const endpoint = process.argv[2]
const callback = 'http://localhost:1/callback'
const [username, password] = ['ann@example.org', 'Correct-Horse-1']

async function call(action, body) {
  const answer = await fetch(endpoint, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `AWSCognitoIdentityProviderService.${action}`,
      authorization: 'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/cognito-idp/aws4_request, SignedHeaders=host, Signature=0',
    },
  })
  const json = await answer.json()
  if (!answer.ok) throw new Error(`${action}: ${JSON.stringify(json)}`)
  return json
}

const { UserPool: pool } = await call('CreateUserPool', { PoolName: 'loquat' })
const { UserPoolClient: client } = await call('CreateUserPoolClient', {
  UserPoolId: pool.Id,
  ClientName: 'page',
  ExplicitAuthFlows: ['ALLOW_USER_SRP_AUTH', 'ALLOW_REFRESH_TOKEN_AUTH'],
  AllowedOAuthFlows: ['code'],
  AllowedOAuthFlowsUserPoolClient: true,
  AllowedOAuthScopes: ['openid', 'email'],
  CallbackURLs: [callback],
  SupportedIdentityProviders: ['COGNITO'],
})
await call('CreateGroup', { UserPoolId: pool.Id, GroupName: 'chiefs' })
await call('AdminCreateUser', { UserPoolId: pool.Id, Username: username, MessageAction: 'SUPPRESS' })
await call('AdminSetUserPassword', { UserPoolId: pool.Id, Username: username, Password: password, Permanent: true })
await call('AdminAddUserToGroup', { UserPoolId: pool.Id, Username: username, GroupName: 'chiefs' })

function signIn(secret) {
  const users = new CognitoUserPool({ UserPoolId: pool.Id, ClientId: client.ClientId, endpoint })
  const user = new CognitoUser({ Username: username, Pool: users })
  const details = new AuthenticationDetails({ Username: username, Password: secret })
  return new Promise((onSuccess, onFailure) => user.authenticateUser(details, { onSuccess, onFailure }))
}

const session = await signIn(password)
const refused = await signIn('wrong').then(() => 'accepted', (error) => error.code ?? error.name)

const server = {
  issuer: `https://cognito-idp.us-east-1.amazonaws.com/${pool.Id}`,
  authorization_endpoint: `${endpoint}/oauth2/authorize`,
  token_endpoint: `${endpoint}/oauth2/token`,
  jwks_uri: `${endpoint}/${pool.Id}/.well-known/jwks.json`,
}
const configuration = new oidc.Configuration(server, client.ClientId, undefined, oidc.None())
oidc.allowInsecureRequests(configuration)
const verifier = oidc.randomPKCECodeVerifier()
const state = oidc.randomState()
const start = oidc.buildAuthorizationUrl(configuration, {
  redirect_uri: callback,
  scope: 'openid email',
  code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
})
const back = await walk(start.href, callback, { username, password })
const granted = await oidc.authorizationCodeGrant(configuration, back, {
  pkceCodeVerifier: verifier,
  expectedState: state,
})

console.log(
  JSON.stringify({
    pool: pool.Id,
    client: client.ClientId,
    refused,
    id: session.getIdToken().getJwtToken(),
    access: session.getAccessToken().getJwtToken(),
    code_id: granted.id_token,
    code_access: granted.access_token,
  }),
)
