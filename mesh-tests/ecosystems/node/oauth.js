#!/usr/bin/env node
// openid-client gets access tokens from the edge, jose validates them.
import assert from 'node:assert'
import { readFile } from 'node:fs/promises'
import * as jose from 'jose'
import * as oauth from 'openid-client'
import { Agent, fetch } from 'undici'

const scope = 'door:open'
const env = process.env

async function step(name, run) {
  try {
    return await run()
  } catch (error) {
    const reasons = []
    for (let at = error; at instanceof Error; at = at.cause) reasons.push(at.code ?? at.name, at.message)
    const code = await refusal(error).catch(() => undefined)
    if (code) reasons.push(code)
    console.error(`oauth-node: ${name}: ${reasons.join(': ').replace(/\s+/g, ' ')}`)
    process.exit(1)
  }
}

// The error code in a refusal. openid-client leaves the body of an answer with
// a WWW-Authenticate header, which every 401 has, to its caller.
async function refusal(error) {
  if (error instanceof oauth.ResponseBodyError) return error.error
  if (error instanceof oauth.WWWAuthenticateChallengeError) return (await error.response.json()).error
  throw error
}

const { issuer, dispatcher } = await step('environment', async () => {
  for (const name of ['EDGE_URL', 'EDGE_CA', 'CLIENT_ID', 'CLIENT_SECRET']) assert(env[name], `${name} is not set`)
  return { issuer: env.EDGE_URL, dispatcher: new Agent({ connect: { ca: await readFile(env.EDGE_CA) } }) }
})
const edgeFetch = (url, options) => fetch(url, { ...options, dispatcher })

const configure = (clientId, authentication) =>
  oauth.discovery(new URL(issuer), clientId, undefined, authentication, {
    algorithm: 'oauth2',
    [oauth.customFetch]: edgeFetch,
  })

const metadata = await step('discovery', async () =>
  (await configure(env.CLIENT_ID, oauth.None())).serverMetadata(),
)
const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri), { [jose.customFetch]: edgeFetch })

const fetchToken = async (clientId, authentication) =>
  (await oauth.clientCredentialsGrant(await configure(clientId, authentication), { scope })).access_token

async function validate(token, clientId) {
  const { payload } = await jose.jwtVerify(token, keys, {
    algorithms: ['ES256'],
    audience: issuer,
    issuer,
    requiredClaims: ['exp'],
    typ: 'at+jwt',
  })
  assert(payload.client_id === clientId, `client_id of the token is ${payload.client_id}`)
  assert(payload.scope?.split(' ').includes(scope), `scope of the token is ${payload.scope}`)
}

for (const method of ['ClientSecretBasic', 'ClientSecretPost']) {
  await step(method, async () =>
    validate(await fetchToken(env.CLIENT_ID, oauth[method](env.CLIENT_SECRET)), env.CLIENT_ID),
  )
  await step(`${method} with a wrong secret`, async () => {
    const code = await fetchToken(env.CLIENT_ID, oauth[method](`${env.CLIENT_SECRET}x`)).then(
      () => 'a token',
      refusal,
    )
    assert(code === 'invalid_client', `answered with ${code}`)
  })
}

if (env.JWT_CLIENT_ID) {
  await step('PrivateKeyJwt', async () => {
    const key = await jose.importPKCS8(await readFile(env.JWT_KEY, 'utf8'), 'ES256')
    const authentication = oauth.PrivateKeyJwt({ key, kid: env.JWT_KID })
    await validate(await fetchToken(env.JWT_CLIENT_ID, authentication), env.JWT_CLIENT_ID)
  })
}

// npm ci installs exactly what package.json names.
const { dependencies } = JSON.parse(await readFile(new URL('package.json', import.meta.url)))
console.log(
  JSON.stringify({
    library: `openid-client ${dependencies['openid-client']}`,
    secret: true,
    private_key_jwt: Boolean(env.JWT_CLIENT_ID),
    validated_by: `jose ${dependencies.jose}`,
  }),
)
