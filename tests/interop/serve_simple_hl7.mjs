// A receiver of npm simple-hl7. Prints its port, then each message with its frame bytes as it came; ends with its
// standard input.
import { createRequire } from 'node:module';
import net from 'node:net';

// It offers no address to listen on: loopback only, whatever it asks for.
const { listen } = net.Server.prototype;
net.Server.prototype.listen = function onLoopback(port) {
  return listen.call(this, port, '127.0.0.1');
};

const require = createRequire(`${process.env.PEERS}/node_modules/`);
const app = require('simple-hl7').tcp();
app.use((req, res, next) => {
  const received = req.raw.slice(1, -2);
  process.stdout.write(`${JSON.stringify({ received })}\n`);
  next();
});
app.use((req, res) => res.end());
app.use((fault, req, res, next) => next);
const { server } = app.start(0);
server.on('listening', () => process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`));
process.stdin.on('end', () => process.exit(0)).resume();
