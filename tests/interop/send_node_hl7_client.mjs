// Sends with npm node-hl7-client: each message after the answer to the one before, then all at once.
// Arguments: port, number of messages of each kind. Prints the answers as JSON.
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.PEERS}/node_modules/`);
const { Client, Message } = require('node-hl7-client');
const [port, count] = process.argv.slice(2).map(Number);

function message(controlId) {
  const messageHeader = { msh_9_1: 'ORU', msh_9_2: 'R01', msh_9_3: 'ORU_R01', msh_10: controlId, msh_11_1: 'P' };
  const built = new Message({ messageHeader });
  built.set('MSH.3', 'NODEHL7').set('MSH.4', 'NORTH');
  const pid = built.addSegment('PID');
  pid.set('1', '1').set('3', '7700001^^^NORTH^MR');
  const obx = built.addSegment('OBX');
  obx.set('1', '1').set('2', 'NM').set('3', '160212^MDC_CONC_GLU_ISF^MDC').set('5', '100').set('6', 'mg/dL');
  obx.set('11', 'F').set('14', '20260302001000+0000');
  return built;
}

const client = new Client({ host: '127.0.0.1' });

// With waitAck it goes on only when nothing is under way, so that the next is sent from the handler of the last.
function oneByOne() {
  return new Promise((resolve) => {
    const answers = [];
    const line = client.createConnection({ port, waitAck: true }, async (answer) => {
      const read = answer.getMessage();
      answers.push([read.get('MSA.1').toString(), read.get('MSA.2').toString()]);
      if (answers.length < count) return line.sendMessage(message(`O${answers.length}`));
      await line.close();
      return resolve(answers);
    });
    line.on('connect', () => line.sendMessage(message('O0')));
  });
}

// Answers that arrive together are one text to it: what it read is looked through for all of them.
function pipelined() {
  return new Promise((resolve) => {
    let answers = [];
    const line = client.createConnection({ port, waitAck: false }, () => {});
    line.on('data.raw', async (text) => {
      answers = answers.concat([...text.matchAll(/MSA\|(\w+)\|(\w+)/g)].map((found) => [found[1], found[2]]));
      if (answers.length < count) return;
      await line.close();
      resolve(answers);
    });
    line.on('connect', async () => {
      for (let n = 0; n < count; n += 1) await line.sendMessage(message(`M${n}`));
    });
  });
}

console.log(JSON.stringify({ one_by_one: await oneByOne(), pipelined: await pipelined() }));
process.exit(0);
