// panva's oidc-provider with introspection, revocation and, for one resource,
// JWT access tokens.
import Provider from 'oidc-provider';

const port = +process.env.PORT;
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'app', client_secret: 'made-up-client-secret', grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['http://127.0.0.1:1/cb'], response_types: ['code'], token_endpoint_auth_method: 'client_secret_basic',
  }, ...(process.env.PROXY ? [{
    client_id: 'proxy', client_secret: 'made-up-client-secret', redirect_uris: process.env.PROXY.split(' '), response_types: ['code'],
  }] : [])],
  scopes: ['openid', 'offline_access', 'api'],
  pkce: { required: () => false },
  cookies: { keys: ['made-up'] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: async () => true,
  features: {
    // The page that asks before it signs out; its buttons are not in its form.
    rpInitiatedLogout: {
      logoutSource: async (ctx, form) => {
        ctx.body = `<!DOCTYPE html><body><p>${ctx.oidc.session.accountId}</p>${form}<button type=submit form="op.logoutForm" name=logout value=yes>Yes</button><button type=submit form="op.logoutForm">No</button></body>`;
      },
    },
    introspection: { enabled: true }, revocation: { enabled: true }, devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true, defaultResource: () => undefined, useGrantedResource: () => true,
      getResourceServerInfo: (ctx, r) => ({ scope: 'api', audience: r, accessTokenTTL: 3600, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
    },
  },
});
provider.listen(port, '127.0.0.1');
