// npm oidc-provider over TLS as the judge of our client assertions, and of the tokens that are shown to a FHIR server.
// Arguments: certificate, key, the public key set of client box-ec, the RSA key of client box-rsa. Prints its port, then a
// line for each request; ends with its standard input.
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { pathToFileURL } from 'node:url';

// It tells its development set-up on the standard output.
console.info = console.warn = console.error;
const { default: Provider } = await import(pathToFileURL(`${process.env.PEERS}/node_modules/oidc-provider/lib/index.js`));
const [cert, key, set, rsa] = process.argv.slice(2).map((path) => readFileSync(path));
const scopes = ['system/Observation.crus', 'system/Patient.rs'];
const client = (id, alg, jwks) => ({
  client_id: id,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  scope: scopes.join(' '),
  token_endpoint_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: alg,
  jwks,
});
const rsaSet = { keys: [{ ...createPublicKey(rsa).export({ format: 'jwk' }), use: 'sig', kid: 'rsa-1', alg: 'RS384' }] };
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const server = https.createServer({ cert, key });
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`https://127.0.0.1:${port}`, {
    clients: [client('box-ec', 'ES384', JSON.parse(set)), client('box-rsa', 'RS384', rsaSet)],
    clientAuthMethods: ['private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: ['ES384', 'RS384'] },
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
    scopes,
    ttl: { ClientCredentials: 570 },
  });
  provider.on('grant.success', (ctx) => say({ granted: ctx.oidc.client.clientId }));
  provider.on('grant.error', (ctx, error) => say({ refused: error.error, why: error.error_detail ?? error.error_description }));
  const callback = provider.callback();
  server.on('request', async (request, response) => {
    if (!request.url.startsWith('/fhir')) return callback(request, response);
    const shown = (request.headers.authorization ?? '').replace(/^Bearer /, '');
    const token = await provider.ClientCredentials.find(shown);
    say({ shown: token?.isValid ? { client: token.clientId, scope: token.scope } : null });
    // Not now: what is judged is the token.
    response.writeHead(503, { 'retry-after': '3600' }).end();
  });
  say({ port });
});
process.stdin.on('end', () => process.exit(0)).resume();
