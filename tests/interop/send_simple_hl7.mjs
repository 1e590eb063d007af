// Sends with npm simple-hl7, on one connection and on a new one for each message. It refuses to pipeline.
// Arguments: port, number of messages of each kind. Prints the answers as JSON.
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.PEERS}/node_modules/`);
const hl7 = require('simple-hl7');
const [port, count] = process.argv.slice(2).map(Number);

function message(controlId) {
  // Its header has no field for MSH-6: what it calls the receiving facility is written as the time.
  const built = new hl7.Message('SIMPLE', 'NORTH', 'ISTHMUS', 'NORTH', '20260302120000', '', ['ORU', 'R01', 'ORU_R01'], controlId, 'P', '2.5.1');
  built.addSegment('PID', '1', '', ['7700001', '', '', 'NORTH', 'MR']);
  built.addSegment('OBR', '1', '', '', ['99504-3', 'Glucose', 'LN']);
  built.addSegment('OBX', '1', 'NM', ['160212', 'MDC_CONC_GLU_ISF', 'MDC'], '', '100', 'mg/dL', '', '', '', '', 'F', '', '', '20260302001000+0000');
  return built;
}

function send(client, controlId) {
  return new Promise((resolve, reject) => {
    client.send(message(controlId), (fault, answer) => {
      if (fault) return reject(fault);
      const msa = answer.getSegment('MSA');
      resolve([msa.getField(1), msa.getField(2)]);
    });
  });
}

const kept = hl7.Server.createTcpClient({ host: '127.0.0.1', port, keepalive: true });
const answers = { kept: [], each: [] };
for (let n = 0; n < count; n += 1) answers.kept.push(await send(kept, `K${n}`));
kept.close();
for (let n = 0; n < count; n += 1) {
  const client = hl7.Server.createTcpClient({ host: '127.0.0.1', port, keepalive: false });
  answers.each.push(await send(client, `E${n}`));
}
console.log(JSON.stringify(answers));
process.exit(0);
