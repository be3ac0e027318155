// SPDX-License-Identifier: GPL-3.0-or-later
// An OpenID Connect provider on this machine: `node provider.mjs PORT CLIENT SECRET REDIRECT_URI GROUPS`.
// Whoever signs on is a member of what GROUPS says of the name, as JSON: {"rosa": ["researchers"]}.
import { Provider } from 'oidc-provider';

const [port, client_id, client_secret, redirect_uri, groups] = process.argv.slice(2);
const membership = JSON.parse(groups);

const provider = new Provider(`http://127.0.0.1:${port}`, {
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
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
