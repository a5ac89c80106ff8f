// ioredis against Holdfast; see tests/clients/run.
'use strict';
const Redis = require('ioredis');
const { expect, load, main } = require('./common.js');

async function make(mode, addresses) {
  // A write is given up by its connection's end, not by a count of retries.
  const options = { maxRetriesPerRequest: null, retryStrategy: () => 50 };
  const client = mode === 'sentinel'
    ? new Redis({ ...options, sentinels: addresses, name: 'mymaster', failoverDetector: true,
                  sentinelRetryStrategy: () => 50 })
    : new Redis({ ...options, ...addresses[0] });
  client.on('error', (e) => console.error(`${e.name}: ${e.message}`));
  return client;
}

async function ordinary(r, mode) {
  expect('ping', await r.ping(), 'PONG');
  await r.del('s', 'h', 'l', 'z', 'st', 'n', 't');
  expect('set', await r.set('s', 'v', 'EX', 100), 'OK');
  expect('get', await r.get('s'), 'v');
  expect('set nx', await r.set('s', 'w', 'NX'), null);
  expect('incr', [await r.incr('n'), await r.incr('n')], [1, 2]);
  expect('hset', await r.hset('h', { a: 1, b: 2 }), 2);
  expect('hgetall', await r.hgetall('h'), { a: '1', b: '2' });
  expect('rpush', await r.rpush('l', 'a', 'b'), 2);
  expect('zadd', await r.zadd('z', 1, 'a', 2.5, 'b'), 2);
  expect('zrange', await r.zrange('z', 0, -1, 'WITHSCORES'), ['a', '1', 'b', '2.5']);
  const id = await r.xadd('st', '*', 'f', 'v');
  expect('xread', await r.xread('STREAMS', 'st', '0'), [['st', [[id, ['f', 'v']]]]]);
  expect('multi', await r.multi().set('t', 1).incr('t').exec(), [[null, 'OK'], [null, 2]]);
  const pipeline = r.pipeline();
  for (let i = 0; i < 100; i++) pipeline.set(`p${i}`, i);
  expect('pipeline', (await pipeline.exec()).every(([e, v]) => e === null && v === 'OK'), true);
  r.defineCommand('addTo', { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
  expect('script', await r.addTo('t', 10), 12);
  const keys = [];
  for await (const part of r.scanStream({ match: '[shlz]' })) keys.push(...part);
  expect('scan', [...new Set(keys)].sort(), ['h', 'l', 's', 'z']);

  const own = r.duplicate();
  await own.watch('t');
  await r.set('t', 5);
  expect('watch', await own.multi().set('t', 6).exec(), null);
  expect('blpop', await own.blpop('l', 5), ['l', 'a']);
  const message = new Promise((resolve) => own.on('message', (...m) => resolve(m)));
  expect('subscribe', await own.subscribe('c'), 1);
  const heard = await r.publish('c', 'm'); // counts those at the leader, which by address it need not be
  expect('publish', heard === 1 || mode === 'address', true);
  expect('message', await message, ['c', 'm']);
  await own.quit();
}

main(make, ordinary, (r, name) => load(name, {
  set: (k, v) => r.set(k, v),
  get: (k) => r.get(k),
  mget: (keys) => r.mget(keys),
}));
