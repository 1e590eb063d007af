// npm fhir-kit-client against a server: arguments are its base, a token and a Patient that is there. Prints a line for
// each thing that it did as it should; ends with an error at the first that it could not.
import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';

const [base, token, patient] = process.argv.slice(2);
const { Client } = await import(
  pathToFileURL(`${process.env.PEERS}/node_modules/fhir-kit-client/dist/index.js`)
);
const client = new Client({ baseUrl: base, bearerToken: token });
const did = (step) => process.stdout.write(JSON.stringify({ did: step }) + '\n');
const reading = (n) => ({
  resourceType: 'Observation',
  status: 'final',
  identifier: [{ system: 'urn:example:kit', value: `k${n}` }],
  code: { coding: [{ system: 'http://loinc.org', code: '99504-3' }] },
  subject: { reference: `Patient/${patient}` },
  effectiveDateTime: `2026-03-01T10:0${n}:00Z`,
  valueQuantity: { value: 100 + n, unit: 'mg/dL', system: 'http://unitsofmeasure.org', code: 'mg/dL' },
});
const refused = async (status, code, promise) => {
  const error = await promise.then(() => assert.fail('it was not refused'), (error) => error);
  assert.equal(error.response?.status, status, String(error));
  assert.equal(error.response.data.resourceType, 'OperationOutcome');
  assert.equal(error.response.data.issue[0].code, code);
};
const resourceType = 'Observation';

const statement = await client.capabilityStatement();
assert.equal(statement.resourceType, 'CapabilityStatement');
did('capability statement');
const made = await client.create({ resourceType, body: reading(1) });
assert.equal(made.valueQuantity.value, 101);
const id = made.id;
did('create');
assert.deepEqual(await client.read({ resourceType, id }), made);
did('read');
assert.deepEqual(await client.vread({ resourceType, id, version: '1' }), made);
did('vread');
const condition = { headers: { 'If-None-Exist': 'identifier=urn:example:kit|k1' } };
assert.equal((await client.create({ resourceType, body: reading(1), options: condition })).id, id);
did('conditional create');
const match = (version) => ({ headers: { 'If-Match': `W/"${version}"` } });
const next = await client.update({ resourceType, id, body: { ...made, status: 'amended' }, options: match(1) });
assert.equal(next.meta.versionId, '2');
await refused(412, 'conflict', client.update({ resourceType, id, body: { ...made, status: 'corrected' }, options: match(1) }));
did('update with If-Match');
assert.equal((await client.history({ resourceType, id })).entry.length, 2);
did('history');
const entry = (n) => ({ resource: reading(n), request: { method: 'POST', url: 'Observation' } });
const batch = await client.batch({ body: { resourceType: 'Bundle', type: 'batch', entry: [entry(2), entry(3)] } });
assert.deepEqual(batch.entry.map((it) => it.response.status.slice(0, 3)), ['201', '201']);
did('batch');
const body = { resourceType: 'Bundle', type: 'transaction', entry: [entry(4), entry(5)] };
assert.equal((await client.transaction({ body })).type, 'transaction-response');
did('transaction');
const searchParams = { patient, code: 'http://loinc.org|99504-3', _count: 2, identifier: 'urn:example:kit|' };
let page = await client.search({ resourceType, searchParams });
const seen = [];
while (page) {
  seen.push(...page.entry.map((it) => it.resource.identifier[0].value));
  assert.ok(page.entry.length <= 2);
  assert.equal(client.prevPage({ bundle: page }), undefined, 'no page leads back here');
  page = await client.nextPage({ bundle: page });
}
assert.deepEqual(seen, ['k5', 'k4', 'k3', 'k2', 'k1']);
did('search with paging');
const posted = await client.search({ resourceType, searchParams: { patient }, options: { postSearch: true } });
assert.equal(posted.type, 'searchset');
did('search by POST');
assert.equal((await client.compartmentSearch({ resourceType, compartment: { resourceType: 'Patient', id: patient } })).type, 'searchset');
did('search of a compartment');
const everything = await client.operation({ name: 'everything', resourceType: 'Patient', id: patient, method: 'GET' });
assert.ok(everything.entry.some((it) => it.resource.id === id));
did('$everything');
const judged = await client.operation({ name: 'validate', resourceType, input: { ...reading(6), status: 'sound' } });
assert.equal(judged.issue[0].code, 'code-invalid');
did('$validate');
assert.equal((await client.resolve({ reference: `Patient/${patient}` })).id, patient);
did('resolve');
await refused(404, 'not-found', client.read({ resourceType, id: 'none' }));
await refused(422, 'code-invalid', client.create({ resourceType, body: { ...reading(7), status: 'sound' } }));
await refused(400, 'not-supported', client.search({ resourceType, searchParams: { nothing: '1' } }));
await refused(405, 'not-supported', client.delete({ resourceType, id }));
await refused(401, 'login', new Client({ baseUrl: base }).read({ resourceType, id }));
did('errors');
