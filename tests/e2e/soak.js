// SPDX-License-Identifier: MIT
//
// tests/e2e/soak.js - the long forms of the random tests, and every kind of model under random requests: `make soak`, under the sanitizers.
//
// Each test and each kind gets SOAK_SECONDS (300), two of them at a time. SOAK_SEED (printed; by the clock unless given) is the seed of each one's first
// round, the next has the next: a failure names its own. SOAK_ONLY="dense test_exact" leaves out the others.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { knownKinds, soakKind, summary, inParallel } = require('../support/soak.js');
const { binary, root } = require('../support/server.js');

const seconds = Number(process.env.SOAK_SECONDS || 300);
const seed = Number(process.env.SOAK_SEED || Date.now() % 1000000000);
const only = process.env.SOAK_ONLY?.split(' ');
const AT_ONCE = 2;

// What each makes of WARM_ITERS is its own; one round is some seconds to a few minutes.
const tests = [
    { name: 'test_sched_random', iters: 4000 },
    { name: 'test_cache_model', iters: 1000000 },
    { name: 'test_exact', iters: 2 },
];

function runTest(name, env, log) {
    return new Promise((resolve) => {
        const out = fs.openSync(log, 'w');
        const child = spawn(path.join(path.dirname(binary), name), [], { stdio: ['ignore', out, out], env: { ...process.env, ...env } });
        fs.closeSync(out);
        process.once('exit', () => child.kill('SIGKILL'));
        child.on('error', (error) => resolve(error.message));
        child.on('exit', (code, signal) => resolve(code ?? signal));
    });
}

async function soakTest({ name, iters }) {
    const folder = path.join(root, 'build/log');
    fs.mkdirSync(folder, { recursive: true });
    const begun = Date.now();
    const failures = [];
    let rounds = 0;
    do {
        // Far enough apart for the seeds that a round makes of its own.
        const WARM_SEED = String(seed + 100000 * rounds++);
        const log = path.join(folder, `soak-${name}-${WARM_SEED}.log`);
        const status = await runTest(name, { WARM_SEED, WARM_ITERS: String(iters) }, log);
        if (status === 0) fs.rmSync(log);
        else failures.push(`  WARM_SEED=${WARM_SEED} WARM_ITERS=${iters} ${name}: status ${status}\n    (${log})`);
    } while (Date.now() - begun < seconds * 1000 && failures.length < 3);
    console.log([`${name} seed ${seed}: ${rounds} rounds of ${iters}, ${Math.round((Date.now() - begun) / 1000)} s, ${failures.length} failures`, ...failures].join('\n'));
    return failures.length;
}

async function main() {
    let failures = 0;
    const wanted = ({ name }) => !only || only.includes(name);
    console.log(`SOAK_SEED=${seed} SOAK_SECONDS=${seconds}`);
    const jobs = tests.filter(wanted).map((test) => async () => void (failures += await soakTest(test)));
    jobs.push(...knownKinds().filter(wanted).map((kind) => async () => {
        const totals = await soakKind(kind, { seconds, seed });
        console.log(summary(totals));
        failures += totals.failures.length;
    }));
    await inParallel(jobs, AT_ONCE);
    console.log(`${failures} failures`);
    process.exitCode = failures || !jobs.length ? 1 : 0;
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 2;
});
