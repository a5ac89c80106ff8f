// redis (node-redis) against Holdfast; see tests/clients/run.
'use strict';
const { createClient, createSentinel } = require('redis');
const { expect, load, main } = require('./common.js');

const protocol = process.env.RESP === '2' ? 2 : 3;

async function make(mode, addresses) {
  const socket = { reconnectStrategy: () => 50 };
  const client = mode === 'sentinel'
    ? createSentinel({ name: 'mymaster', sentinelRootNodes: addresses, RESP: protocol,
                       scanInterval: 1000, maxCommandRediscovers: 1000,
                       nodeClientOptions: { socket, RESP: protocol } })
    : createClient({ socket: { ...addresses[0], ...socket }, RESP: protocol });
  client.on('error', (e) => console.error(`${e.name}: ${e.message}`));
  await client.connect();
  return client;
}

async function ordinary(r, mode, addresses) {
  await r.del(['s', 'h', 'l', 'z', 'st', 'n', 't']);
  expect('set', await r.set('s', 'v', { EX: 100 }), 'OK');
  expect('get', await r.get('s'), 'v');
  expect('set nx', await r.set('s', 'w', { NX: true }), null);
  expect('incr', [await r.incr('n'), await r.incr('n')], [1, 2]);
  expect('hset', await r.hSet('h', { a: '1', b: '2' }), 2);
  expect('hgetall', { ...(await r.hGetAll('h')) }, { a: '1', b: '2' });
  expect('rpush', await r.rPush('l', ['a', 'b']), 2);
  expect('zadd', await r.zAdd('z', [{ score: 1, value: 'a' }, { score: 2.5, value: 'b' }]), 2);
  expect('zrange', (await r.zRangeWithScores('z', 0, -1)).map((e) => [e.value, e.score]),
         [['a', 1], ['b', 2.5]]);
  expect('multi', await r.multi().set('t', '1').incr('t').get('t').exec(), ['OK', 2, '2']);
  expect('script', await r.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])",
                                { keys: ['t'], arguments: ['10'] }), 12);
  const many = await Promise.all([...Array(100).keys()].map((i) => r.set(`p${i}`, String(i))));
  expect('pipeline', many.every((v) => v === 'OK'), true);
  expect('blpop', { ...(await r.blPop('l', 5)) }, { key: 'l', element: 'a' });
  if (mode === 'address') {
    const own = await make(mode, addresses);
    const message = new Promise((resolve) => own.subscribe('c', (m, c) => resolve([c, m]))
      .then(() => r.publish('c', 'm')));
    expect('message', await message, ['c', 'm']);
    await own.close();
  }
}

main(make, ordinary, (r, name) => load(name, {
  set: (k, v) => r.set(k, v),
  get: (k) => r.get(k),
  mget: (keys) => r.mGet(keys),
}));
