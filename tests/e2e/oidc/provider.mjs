// SPDX-License-Identifier: GPL-3.0-or-later
// An OpenID Connect provider on this machine:
//   node provider.mjs URL CLIENT SECRET REDIRECT_URI GROUPS [CERTIFICATE KEY]
// It listens at the address and port of URL, by TLS with a certificate. Whoever signs on is a member of what GROUPS
// says of the name, as JSON: {"rosa": ["researchers"]}.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { Provider } from 'oidc-provider';

const [url, client_id, client_secret, redirect_uri, groups, certificate, key] = process.argv.slice(2);
const membership = JSON.parse(groups);
const { hostname, port } = new URL(url);

const provider = new Provider(url, {
  clients: [{ client_id, client_secret, redirect_uris: [redirect_uri] }],
  pkce: { required: () => true, methods: ['S256'] },
  scopes: ['openid', 'profile', 'groups'],
  claims: { openid: ['sub'], profile: ['name'], groups: ['groups'] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: id, groups: membership[id] ?? [] }),
  }),
});
const server = certificate
  ? https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback())
  : http.createServer(provider.callback());
server.listen(Number(port), hostname, () => console.log('ready'));
