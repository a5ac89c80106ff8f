// What the clients for node.js share: arguments, expectations, and the load. See tests/clients/run.
'use strict';
const { isDeepStrictEqual, inspect } = require('util');

function parse(addresses) {
  return addresses.split(',').map((a) => {
    const at = a.lastIndexOf(':');
    return { host: a.slice(0, at), port: Number(a.slice(at + 1)) };
  });
}

function expect(what, got, wanted) {
  if (!isDeepStrictEqual(got, wanted)) {
    throw new Error(`${what}: ${inspect(got)} instead of ${inspect(wanted)}`);
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Writes until standard input ends, then looks whether what was acknowledged is there.
// set(key, value), get(key) and mget(keys) are the client's.
async function load(name, { set, get, mget }) {
  const acked = [];
  let errors = 0, gap = 0, ended = false;
  let last = Date.now(), told = last;

  process.stdin.on('end', () => { ended = true; });
  process.stdin.resume();
  for (let i = 1; !ended; i++) {
    try {
      await set(`${name}:${i}`, String(i));
      acked.push(i);
      gap = Math.max(gap, Date.now() - last);
      last = Date.now();
      if (i % 10 === 0) expect('read what was written', await get(`${name}:${i}`), String(i));
    } catch (e) {
      if (String(e.message).startsWith('read what')) throw e;
      errors++;
      console.error(`${e.name}: ${e.message}`);
      await pause(10);
    }
    if (Date.now() - told > 100) {
      told = Date.now();
      console.log(`ACKED ${acked.length}`);
    }
  }
  let lost = 0;
  for (let first = 0; first < acked.length; first += 500) {
    const part = acked.slice(first, first + 500);
    const values = await mget(part.map((i) => `${name}:${i}`));
    lost += part.filter((i, k) => values[k] !== String(i)).length;
  }
  console.log(`DONE acked=${acked.length} lost=${lost} errors=${errors} gap_ms=${gap}`);
  return lost === 0 && acked.length > 0;
}

// Runs a client: make(mode, addresses) connects, ordinary(client) and loads(client, name) use it.
function main(make, ordinary, loads) {
  const [task, name, mode, addresses] = process.argv.slice(2);
  (async () => {
    const client = await make(mode, parse(addresses), name);
    if (task === 'ordinary') {
      await ordinary(client, mode, parse(addresses));
      console.log('DONE');
      process.exit(0);
    }
    process.exit((await loads(client, name)) ? 0 : 1);
  })().catch((e) => {
    console.error(e);
    process.exit(1);
  });
}

module.exports = { expect, load, main, parse, pause };
