// Whole no-op jobs per second with Graphile Worker: this process enqueues, another one works.
//
//   node run.mjs URL single|batch JOBS CALLERS WORKERS PAYLOAD       prints the figure
//
// With 24 WORKERS or more it is set up as its page on performance has it: a local queue of 500, ends stored in batches.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { makeWorkerUtils, run, runMigrations, Logger } from "graphile-worker";

const WARM_UP = 100;
const BATCH = 500;
const CONNECTIONS = 32;

const [url, mode, jobs, callers, workers, payload] = process.argv.slice(2);
const preset = {
  worker: {
    connectionString: url,
    concurrentJobs: Number(workers),
    maxPoolSize: CONNECTIONS,
    logger: new Logger(() => () => {}),
    ...(Number(workers) >= 24 && { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }),
  },
};

/** Tells its parent when it has run the warm-up, and ends once all ends are stored. */
async function work() {
  const total = WARM_UP + Number(jobs);
  let ran = 0;
  let all;
  const done = new Promise((resolve) => (all = resolve));
  const nothing = async () => {
    ran += 1;
    if (ran === WARM_UP) process.send("warm");
    if (ran === total) all();
  };
  const runner = await run({ preset, taskList: { nothing }, noHandleSignals: true });
  process.send("up");
  await done;
  await runner.stop();
  process.disconnect();
}

async function produce(utils, mode, jobs, callers) {
  let left = jobs;
  const spec = { identifier: "nothing", payload: { payload } };
  const caller = async () => {
    while (left > 0) {
      const take = mode === "single" ? 1 : Math.min(left, BATCH);
      left -= take;
      if (mode === "single") await utils.addJob("nothing", spec.payload);
      else await utils.addJobs(Array.from({ length: take }, () => spec));
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

async function lead() {
  await runMigrations({ preset });
  const utils = await makeWorkerUtils({ preset });
  const worker = fork(fileURLToPath(import.meta.url), process.argv.slice(2), { env: { WORKER: "1" } });
  await once(worker, "message");
  const warm = once(worker, "message");
  await produce(utils, "single", WARM_UP, 10);
  await warm;
  const ended = once(worker, "exit");
  const begin = performance.now();
  await produce(utils, mode, Number(jobs), Number(callers));
  const [code] = await ended;
  if (code !== 0) throw new Error(`the worker ended with ${code}`);
  console.log(Number(jobs) / ((performance.now() - begin) / 1e3));
  await utils.release();
}

await (process.env.WORKER ? work() : lead());
