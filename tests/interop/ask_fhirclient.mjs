// npm fhirclient against a server: arguments are its base, the authority, a client certificate with its key, and a Patient
// that is there. Prints a line for each thing that it did as it should.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import https from 'node:https';

const [base, ca, cert, key, patient] = process.argv.slice(2);
const require = createRequire(`${process.env.PEERS}/node_modules/`);
const { FhirClient } = require('fhirclient');
const agent = new https.Agent({ ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) });
const client = new FhirClient(base);
const did = (step) => process.stdout.write(JSON.stringify({ did: step }) + '\n');
const reading = (n) => ({
  resourceType: 'Observation',
  status: 'final',
  identifier: [{ system: 'urn:example:js', value: `j${n}` }],
  code: { coding: [{ system: 'http://loinc.org', code: '99504-3' }] },
  subject: { reference: `Patient/${patient}` },
  effectiveDateTime: `2026-03-02T10:0${n}:00Z`,
  valueQuantity: { value: 100 + n, unit: 'mg/dL', system: 'http://unitsofmeasure.org', code: 'mg/dL' },
});
// As its Client shows them where no token was given: a certificate of the agent's.
const ask = (url, more = {}) => client.fhirRequest(url, { agent, ...more });
const post = (url, body, headers = {}) =>
  ask(url, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/fhir+json', ...headers } });
const refused = async (status, promise) => {
  const error = await promise.then(() => assert.fail('it was not refused'), (error) => error);
  assert.equal(error.status ?? error.statusCode, status, String(error));
};

assert.equal((await ask('metadata')).resourceType, 'CapabilityStatement');
assert.equal(await client.getFhirRelease({ agent }).catch(() => 4), 4);
did('capability statement');
const made = await client.create(reading(1), { agent });
const path = `Observation/${made.id}`;
did('create');
assert.deepEqual(await ask(path), made);
did('read');
assert.deepEqual(await ask(`${path}/_history/1`), made);
did('vread');
const again = await client.create(reading(1), { agent, headers: { 'If-None-Exist': 'identifier=urn:example:js|j1', 'content-type': 'application/fhir+json' } });
assert.equal(again.id, made.id);
did('conditional create');
const headers = { 'If-Match': 'W/"1"', 'content-type': 'application/fhir+json' };
assert.equal((await client.update({ ...made, status: 'amended' }, { agent, headers })).meta.versionId, '2');
await refused(412, client.update({ ...made, status: 'corrected' }, { agent, headers }));
did('update with If-Match');
assert.equal((await ask(`${path}/_history`)).entry.length, 2);
did('history');
const entry = (n) => ({ resource: reading(n), request: { method: 'POST', url: 'Observation' } });
assert.equal((await post('', { resourceType: 'Bundle', type: 'batch', entry: [entry(2), entry(3)] })).entry.length, 2);
did('batch');
assert.equal((await post('', { resourceType: 'Bundle', type: 'transaction', entry: [entry(4)] })).entry[0].response.status.slice(0, 3), '201');
did('transaction');
const seen = [];
for await (const it of client.resources(`Observation?patient=${patient}&identifier=urn:example:js|&_count=2`, { agent })) {
  seen.push(it.identifier[0].value);
}
assert.deepEqual(seen, ['j4', 'j3', 'j2', 'j1']);
did('search with paging');
const found = await client.getReferences(made, ['subject'], { agent });
assert.equal(Object.values(found)[0].id, patient);
did('references');
assert.ok((await ask(`Patient/${patient}/$everything`)).entry.length > 4);
did('$everything');
await refused(404, ask('Observation/none'));
await refused(400, ask('Observation?nothing=1'));
await refused(422, client.create({ ...reading(5), status: 'sound' }, { agent }));
await refused(405, client.delete(path, { agent }));
did('errors');
