// The certified `openid-client` goes through the whole flow: node openid_client.mjs ISSUER CLIENT_ID CLIENT_SECRET
import * as client from 'openid-client';

const [issuer, id, secret] = process.argv.slice(2);
const options = { execute: [client.allowInsecureRequests] };
const config = await client.discovery(new URL(issuer), id, secret, undefined, options);
const redirect_uri = 'https://app.example.com/back';
const verifier = client.randomPKCECodeVerifier();
const [state, nonce] = [client.randomState(), client.randomNonce()];
const url = client.buildAuthorizationUrl(config, {
  redirect_uri, scope: 'openid email profile', state, nonce,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
});
const back = new URL((await fetch(url, { redirect: 'manual' })).headers.get('location'));
const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
const tokens = await client.authorizationCodeGrant(config, back, checks);
const userinfo = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
const fresh = await client.refreshTokenGrant(config, tokens.refresh_token);
console.log(JSON.stringify({ claims: tokens.claims(), userinfo, refreshed: fresh.access_token !== tokens.access_token }));
