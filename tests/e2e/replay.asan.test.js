// SPDX-License-Identifier: MIT
//
// `warmslot replay`: small traces on the simulated engine and against a real server.
'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { root, binary, start, makeModel, freePort, temporaryFolder } = require('../support/server.js');

const trace = (name) => path.join(root, 'tests/support/traces', `${name}.jsonl`);
const sessions = trace('sessions');
const stamps = trace('stamps');
const texts = [trace('texts-a'), trace('texts-b')];

// Runs it to its end: { status, out, err }.
function replay(...args) {
    return new Promise((resolve, reject) => {
        const child = spawn(binary, ['replay', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
        const text = { out: '', err: '' };
        child.stdout.setEncoding('utf8').on('data', (data) => (text.out += data));
        child.stderr.setEncoding('utf8').on('data', (data) => (text.err += data));
        child.on('error', reject);
        child.on('close', (status) => resolve({ status, ...text }));
    });
}

async function figures(...args) {
    const { status, out, err } = await replay(...args, '--json', '-');
    assert.equal(status, 0, err);
    assert.equal(err, '');
    return JSON.parse(out);
}

test('sessions in turn: between the oracle and everything, within the budget, and alike in every run', async () => {
    const args = [sessions, '--rotate', '3', '--ram', '1/2,3/4,2/1', '--policy', 'lru,value'];
    const all = await figures(...args);
    assert.equal(all.kind, 'sessions');
    assert.equal(all.cells.length, 3);
    for (const { ram_bytes: bytes, oracle_tokens: oracle, optimum_tokens: optimum, runs } of all.cells) {
        assert.equal(runs.length, 2);
        for (const run of runs) {
            assert.equal(run.requests, all.requests);
            assert.equal(run.failed, 0);
            assert.equal(run.prompt_tokens, all.prompt_tokens);
            assert.equal(run.device_tokens + run.ram_tokens + run.computed_tokens, run.prompt_tokens);
            assert.ok(oracle <= optimum && oracle <= run.computed_tokens && run.computed_tokens <= run.prompt_tokens);
            assert.ok(run.peak_bytes <= bytes && run.peak_bytes > bytes / 4);
            assert.ok(run.first_token_p50_s > 0 && run.first_token_p50_s <= run.first_token_p95_s && run.first_token_p95_s <= run.first_token_p99_s);
        }
        assert.equal(runs[0].closes ?? 0, 0, 'lru is where the distance begins');
    }
    const [half, , ample] = all.cells.map(({ runs }) => runs[0].computed_tokens);
    assert.ok(ample < half, 'more room, less to compute');
    assert.ok(ample <= 1.03 * all.oracle_tokens, `${ample} computed, oracle ${all.oracle_tokens}`);
    assert.deepEqual(await figures(...args), all);
});

test('the table says the same as the JSON', async () => {
    const json = path.join(temporaryFolder(), 'replay.json');
    const { status, out, err } = await replay(sessions, '--users', '2', '--ram', '3/4', '--json', json);
    assert.equal(status, 0, err);
    assert.equal(err, '', 'a bar although nobody looks');
    const { cells } = JSON.parse(fs.readFileSync(json, 'utf8'));
    const computed = Object.fromEntries(out.split('\n').map((line) => line.match(/(value|optimum|oracle) .*? (\d+) +\d+\.\d{3}/)).filter(Boolean).map((m) => [m[1], Number(m[2])]));
    assert.deepEqual(computed, { value: cells[0].runs[0].computed_tokens, optimum: cells[0].optimum_tokens, oracle: cells[0].oracle_tokens });
});

test('two halves are the whole, and repetitions share nothing', async () => {
    const all = await figures(sessions, '--users', '2');
    const halves = await Promise.all(['1/2', '2/2'].map((part) => figures(sessions, '--users', '2', '--part', part)));
    assert.equal(halves[0].requests + halves[1].requests, all.requests);
    const thrice = await figures(sessions, '--users', '2', '--repeat', '3', '--ram', '4/1');
    assert.equal(thrice.cells[0].runs[0].requests, 3 * all.requests);
    assert.equal(thrice.cells[0].oracle_tokens, 3 * all.oracle_tokens);
    assert.ok(thrice.cells[0].runs[0].computed_tokens >= 3 * all.oracle_tokens);
});

test('requests at their times, with sizes in tokens and bytes', async () => {
    const all = await figures(stamps, '--ram', '4kt,500Mt,0', '--kv-bytes', '1000', '--predict', 'trace');
    assert.deepEqual(all.cells.map((cell) => cell.ram_bytes), [4e6, 5e11, 0]);
    const [little, much, none] = all.cells.map(({ runs }) => runs[0].computed_tokens);
    assert.ok(much < little && much < none, `${much}, ${little}, ${none}`);
    assert.ok(much <= 1.01 * all.oracle_tokens);
});

test('texts in turn', async () => {
    const all = await figures(...texts, '--ram', '1/1');
    assert.equal(all.rotate, 2);
    assert.equal(all.prompt_tokens, [...texts].flatMap((file) => fs.readFileSync(file, 'utf8').trim().split('\n')).reduce((sum, line) => sum + Buffer.byteLength(JSON.parse(line).input), 0));
    assert.ok(all.cells[0].runs[0].computed_tokens < all.prompt_tokens / 2);
});

test('a real server is asked the same, and says what it computed', async () => {
    const server = await start(['-m', makeModel('dense', ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128']), '-t', '1', '-c', '4096', '-np', '2', '--cache-ram', '256']);
    const url = `http://127.0.0.1:${server.port}`;
    for (const args of [[sessions, '--scale', '4', '--rotate', '3'], [stamps, '--scale', '8', '--parallel', '2', '--seed', '9']]) {
        const { cells, requests, prompt_tokens: prompt, oracle_tokens: oracle } = await figures(...args, '--engine', url);
        const [run] = cells[0].runs;
        assert.equal(run.requests, requests);
        assert.equal(run.prompt_tokens, prompt);
        assert.ok(run.computed_tokens >= oracle && run.computed_tokens <= 1.1 * oracle, `${run.computed_tokens} computed, oracle ${oracle}`);
        assert.equal(run.device_tokens + run.ram_tokens + run.computed_tokens, prompt);
        assert.ok(run.first_token_p50_s > 0);
    }
    const { cells } = await figures(...texts, '--engine', url, '--predict', '3');
    assert.equal(cells[0].runs[0].requests, 12);
    assert.equal(cells[0].oracle_tokens, undefined, 'nobody here knows how many tokens a text is');
    const long = await replay(stamps, '--engine', url);
    assert.equal(long.status, 1);
    assert.match(long.err, /status 400.*exceeds the available context/);
    await server.stop();
});

test('what cannot be done is said, with the right status', async () => {
    const folder = temporaryFolder();
    const bad = path.join(folder, 'bad.jsonl');
    fs.writeFileSync(bad, `${fs.readFileSync(stamps, 'utf8').split('\n')[0]}\n{"timestamp": 1}\n`);
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const cases = [
        [[], 2, /no TRACE/],
        [[sessions, '--disk', '1G'], 2, /no disk tier yet/],
        [[sessions, '--ram', 'much'], 2, /'much' is no size/],
        [[sessions, '--policy', 'best'], 2, /there is no 'best'/],
        [[sessions, '--users', '2', '--rotate', '2'], 2, /not both/],
        [[sessions, '--parallel', '2'], 2, /--parallel is for a server/],
        [[sessions, '--vocab', '99'], 2, /--vocab is for a server/],
        [[sessions, '--engine', nobody, '--kv-bytes', '64'], 2, /--kv-bytes.* are for the simulated engine/],
        [[sessions, '--engine', nobody, '--prefill-rate', '99'], 2, /--prefill-rate.* are for the simulated engine/],
        [[sessions, '--engine', 'ftp://x'], 2, /neither sim nor http/],
        [[sessions, '--nonsense', '1'], 2, /unknown option/],
        [[sessions, '--users'], 2, /a value is needed/],
        [[stamps, '--users', '2'], 2, /traces with sessions/],
        [[stamps, '--ram', '1/2'], 2, /live set/],
        [[bad], 1, /bad\.jsonl, line 2: no kind of trace/],
        [[path.join(folder, 'absent.jsonl')], 1, /can't open .*absent\.jsonl/],
        [[sessions, stamps], 1, /stamps\.jsonl, line 1: another kind/],
        [[sessions, '--engine', nobody], 1, /can't connect/],
        [[...texts, '--engine', nobody], 1, /can't connect/],
    ];
    for (const [args, status, says] of cases) {
        const got = await replay(...args);
        assert.equal(got.status, status, `${args}: ${got.err}`);
        assert.match(got.err, says);
        assert.equal(got.out, '');
    }
    const help = await replay('--help');
    assert.equal(help.status, 0);
    assert.match(help.out, /--rotate N/);
});
