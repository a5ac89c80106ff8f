// A queue of bullmq on Holdfast: scripts, blocking pops, streams and delayed jobs, by ioredis.
'use strict';
const Redis = require('ioredis');
const { Queue, QueueEvents, Worker } = require('bullmq');
const { expect, main } = require('./common.js');

const JOBS = 50;

function connect(mode, addresses) {
  const options = { maxRetriesPerRequest: null, retryStrategy: () => 50 };
  const client = mode === 'sentinel'
    ? new Redis({ ...options, sentinels: addresses, name: 'mymaster' })
    : new Redis({ ...options, ...addresses[0] });
  client.on('error', (e) => console.error(`${e.name}: ${e.message}`));
  return client;
}

async function ordinary(connection, mode, addresses) {
  const name = `jobs-${process.pid}`;
  const queue = new Queue(name, { connection });
  const events = new QueueEvents(name, { connection: connect(mode, addresses) });
  await events.waitUntilReady();
  const worker = new Worker(name, async (job) => {
    if (job.data.i === 7 && job.attemptsMade === 0) throw new Error('once more, please');
    return job.data.i * 2;
  }, { connection: connect(mode, addresses), concurrency: 5 });
  worker.on('error', (e) => console.error(e));
  const jobs = await queue.addBulk([...Array(JOBS).keys()].map((i) => ({
    name: 'double', data: { i }, opts: { attempts: 2, delay: i % 5 === 0 ? 100 : 0 },
  })));
  const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 30000)));
  expect('results', results, [...Array(JOBS).keys()].map((i) => i * 2));
  const counts = await queue.getJobCounts('completed', 'failed', 'waiting', 'delayed', 'active');
  expect('counts', [counts.completed, counts.failed, counts.waiting, counts.delayed, counts.active],
         [JOBS, 0, 0, 0, 0]);
  await worker.close();
  await events.close();
  await queue.obliterate();
  await queue.close();
}

main(async (mode, addresses) => connect(mode, addresses), ordinary, async () => false);
