// SPDX-License-Identifier: MIT
//
// `make demo` with a smaller model: it ends by itself, says what it measured, and fails when the cache does not do its work.
'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { root, temporaryFolder } = require('../support/server.js');
const { oracle } = require('../support/oracle.js');

const small = '--model-args=--layers 2 --embd 64 --heads 2 --kv-heads 1 --ff 128';

// Runs the demo to its end: { status, out, err }.
function demo(...args) {
    return new Promise((resolve, reject) => {
        const child = spawn(process.execPath, [path.join(root, 'bench/demo.js'), small, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
        const text = { out: '', err: '' };
        child.stdout.setEncoding('utf8').on('data', (data) => (text.out += data));
        child.stderr.setEncoding('utf8').on('data', (data) => (text.err += data));
        child.on('error', reject);
        child.on('close', (status) => resolve({ status, ...text }));
    });
}

test('the demo computes what the oracle does, and shows it', async () => {
    const json = path.join(temporaryFolder(), 'demo.json');
    const { status, out, err } = await demo('--server-args=-t 1', '--json', json);
    assert.equal(status, 0, err + out);
    const { context, oracle: least, prompts, cached, plain } = JSON.parse(fs.readFileSync(json, 'utf8'));

    const size = Object.fromEntries(prompts.map(({ name, tokens }) => [name, tokens]));
    assert.ok(size['coding 1'] + size['research 1'] > context, 'both conversations fit into the context');
    assert.ok(cached.total.computed >= least);
    assert.ok(cached.total.computed <= 1.05 * least, `${cached.total.computed} computed, oracle ${least}`);
    assert.ok(cached.total.ram > 0);
    assert.equal(plain.total.ram, 0);
    assert.ok(plain.total.computed > 3 * cached.total.computed);

    const lines = out.split('\n');
    assert.deepEqual(lines.filter((line) => line.length > 100), []);
    assert.ok(!/\x1b/.test(out + err), 'escape sequences although nobody looks');
    prompts.forEach(({ name, tokens }, i) => {
        const { device, ram, computed } = cached.rows[i];
        const row = lines.find((line) => line.startsWith(`${name} `)).replace(/,/g, '').split(/[ │]+/);
        const first = name.split(' ').length;
        assert.deepEqual(row.slice(first, first + 4).map(Number), [tokens, device, ram, computed]);
    });
    const said = out.replace(/\s+/g, ' ');
    assert.match(said, /diverged_at=\d+ after=".*<tool_response>.*" prompt="\[The client removed .*" known="exit status 2/);
});

test('the demo fails when too much was computed', async () => {
    const { status, out, err } = await demo('--server-args=-t 1 --cache-ram 0');
    assert.equal(status, 1, out);
    assert.match(err, /below 1\.05 x/);
});

test('the demo fails when the server does', async () => {
    const { status, out, err } = await demo('--server-args=--no-such-flag');
    assert.equal(status, 1, out);
    assert.match(err, /the demo failed: the server ended: .*no-such-flag/s);
});

test('the oracle is an unlimited exact prefix cache that always computes the last token', () => {
    assert.equal(oracle([[1, 2, 3], [1, 2, 3], [1, 2, 4, 3], [1, 2, 3, 5, 6], [2, 3], [1, 2]]), 3 + 1 + 2 + 2 + 2 + 1);
});
