#!/usr/bin/env node
// oidc-provider with one client, for ES256 JWT access tokens by client_credentials.
import assert from 'node:assert'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { Provider } from 'oidc-provider'

const env = process.env
for (const name of ['PORT', 'TLS_CERT', 'TLS_KEY', 'CLIENT_ID', 'CLIENT_SECRET']) assert(env[name], `${name} is not set`)

const scope = 'door:open'
const issuer = `https://localhost:${env.PORT}`
const signing = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: env.CLIENT_ID,
      client_secret: env.CLIENT_SECRET,
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      // The default, RS256, has no key here.
      id_token_signed_response_alg: 'ES256',
      scope,
    },
  ],
  jwks: { keys: [{ ...signing, alg: 'ES256', use: 'sig' }] },
  scopes: [scope],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => issuer,
      getResourceServerInfo: () => ({
        scope,
        audience: issuer,
        accessTokenTTL: 300,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
})

createServer({ cert: readFileSync(env.TLS_CERT), key: readFileSync(env.TLS_KEY) }, provider.callback()).listen(
  env.PORT,
  '127.0.0.1',
  () => console.log('ready'),
)
