// SPDX-License-Identifier: MIT
//
// bench/compare.js - Warmslot beside llama-server: the cases of bench/lib/cases.js, as tables, and as bench/RESULTS.md with its pictures.
//
//   node bench/compare.js [--case NAME]... [--full] [--type q8_0]... [--threads N] [--rounds 1] [--pairs 5] [--counts] [--write | --rewrite]
//
// PEER names the llama-server (build/peer/bin/llama-server unless it is set); scripts/bench-peer has built Warmslot on its libllama, in build/bench-peer.
// Results of a case are kept in build/bench-peer/results; --write makes bench/RESULTS.md of all that are there, --rewrite does only
// that. --full: longer traces. The first --type is that of the cases with one model. --counts leaves times out, for a machine that is busy.
// Status 0: whatever was promised holds.
'use strict';
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { parseArgs } = require('node:util');
const { binary, root } = require('../tests/support/server.js');
const { cases } = require('./lib/cases.js');
const { holds, markdown, pictures, table } = require('./lib/report.js');

const string = { type: 'string' };
const flag = { type: 'boolean', default: false };
const options = { case: { ...string, multiple: true }, type: { ...string, multiple: true, default: ['q8_0', 'f16'] }, threads: { ...string, default: String(os.cpus().length) }, rounds: { ...string, default: '1' }, pairs: { ...string, default: '5' }, full: flag, counts: flag, write: flag, rewrite: flag };
const { values: args } = parseArgs({ options });

const servers = { 'llama-server': path.resolve(process.env.PEER || path.join(root, 'build/peer/bin/llama-server')), warmslot: path.join(root, 'build/bench-peer/warmslot'), prebuilt: binary };
const kept = path.join(root, 'build/bench-peer/results');

const output = (program, ...words) => execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], cwd: root });

function about() {
    const cpu = os.cpus();
    const peer = execFileSync('/bin/sh', ['-c', '"$0" --version 2>&1', servers['llama-server']], { encoding: 'utf8' });
    return {
        machine: `${cpu.length} cores, ${cpu[0].model.trim()}, ${Math.round(os.totalmem() / 2 ** 30)} GiB of memory`,
        run: `llama-server ${/version: (\S+)/.exec(peer)?.[1] ?? '?'}, ${output(servers.warmslot, '--version').trim()} (${output('git', 'describe', '--always', '--dirty').trim()}), N = ${args.threads}`,
    };
}

async function runCase(name) {
    const { title, what, run } = cases[name];
    console.log(`\n## ${title}\n`);
    const context = { servers, threads: args.threads, rounds: Number(args.rounds), pairs: Number(args.pairs), types: args.type, full: args.full, counts: args.counts };
    const result = { name, title, what, ...await run(context) };
    console.log(result.skipped ? `skipped: ${result.skipped}` : table(result));
    fs.mkdirSync(kept, { recursive: true });
    fs.writeFileSync(path.join(kept, `${name}.json`), JSON.stringify({ ...result, about: about() }, null, 1));
    return (result.rows ?? []).every((row) => holds(row) !== false);
}

function write() {
    const results = Object.keys(cases).map((name) => path.join(kept, `${name}.json`)).filter((file) => fs.existsSync(file)).map((file) => JSON.parse(fs.readFileSync(file, 'utf8')));
    const folder = path.join(root, 'bench/results');
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(root, 'bench/RESULTS.md'), markdown(results));
    for (const [file, svg] of Object.entries(pictures(Object.fromEntries(results.map((r) => [r.name, r]))))) fs.writeFileSync(path.join(folder, file), svg);
}

async function main() {
    if (args.rewrite) return write();
    for (const [name, program] of Object.entries(servers)) {
        if (!fs.existsSync(program)) return console.log(`skipped: no ${name} (make peer, or make bench PEER=/path/to/llama-server)`);
    }
    const unknown = (args.case ?? []).filter((name) => !cases[name]);
    if (unknown.length) throw new Error(`no case ${unknown.join(', ')}: there are ${Object.keys(cases).join(', ')}`);
    let good = true;
    for (const name of args.case ?? Object.keys(cases)) good = (await runCase(name)) && good;
    if (args.write) write();
    process.exitCode = good ? 0 : 1;
}

main().catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
});
