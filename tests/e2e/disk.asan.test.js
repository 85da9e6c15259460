// SPDX-License-Identifier: MIT
//
// The tier on disk: conversations go on after a restart and after kill -9 without being computed again, for every kind of model; what can't be written or
// read is no error of a request.
'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { binary, start, makeModel, tokens, temporaryFolder } = require('../support/server.js');

const args = (model, dir, ...more) => ['-m', model, '-t', '1', '-np', '2', '-c', '4096', '--fit', 'off', '--metrics', '--cache-disk', dir, '--cache-disk-size', '2G', ...more];
const complete = (server, body) => server.ask('/completion', { n_predict: 12, temperature: 0, ignore_eos: true, return_tokens: true, ...body });
const fresh = (name) => path.join(temporaryFolder(), name);
const files = (dir) => fs.readdirSync(dir).filter((name) => name.endsWith('.warm'));
const checked = (dir) => spawnSync(binary, ['check', dir], { encoding: 'utf8' });

async function metric(server, name) {
    const line = (await server.get('/metrics')).text.split('\n').find((l) => l.startsWith(`${name} `));
    return Number(line.split(' ')[1]);
}

async function until(what, condition) {
    for (const end = Date.now() + 30000; !(await condition()); ) {
        assert.ok(Date.now() < end, `${what}: not within 30 s`);
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

// Nothing has been written for longer than tails and snapshots wait.
async function written(server) {
    let before = -1, since = Date.now();
    await until('written', async () => {
        const now = await metric(server, 'warmslot_disk_written_total');
        if (now !== before) [before, since] = [now, Date.now()];
        return now > 0 && Date.now() - since > 3500;
    });
}

async function killed(server) {
    server.ended = new Promise((resolve) => server.child.on('exit', () => resolve('SIGKILL')));
    server.child.kill('SIGKILL');
    return server.ended;
}

const kinds = { dense: 2, swa: 2, hybrid: 2, recurrent: 1, 'hybrid-ssm': 1, 'hybrid-swa': 1, moe: 1 };
for (const [kind, n] of Object.entries(kinds))
    for (const end of ['SIGTERM', 'SIGKILL'].slice(0, n))
        test(`${kind}: a conversation goes on after ${end} as if nothing had happened`, async () => {
            const model = makeModel(kind), dir = fresh(`${kind}-${end}`), prompt = tokens(700, 1);
            let server = await start(args(model, dir));
            const { tokens: said } = await complete(server, { prompt });
            const next = [...prompt, ...said, ...tokens(70, 2)];
            if (end === 'SIGKILL') {
                await written(server);
                await killed(server);
            } else {
                assert.equal(await server.stop(), 0);
            }
            assert.equal(checked(dir).status, 0);
            const other = await start(args(model, fresh(`${kind}-${end}-live`)));
            await complete(other, { prompt });
            const live = await complete(other, { prompt: next });
            assert.equal(await other.stop(), 0);
            server = await start(args(model, dir));
            try {
                const again = await complete(server, { prompt: next });
                const { cache } = again.timings;
                // Where state can't be cut, the end of a short answer is not worth a snapshot: then the answer is computed again.
                const same = cache.computed === live.timings.cache.computed;
                assert.ok(same || (n < 2 || kind === 'hybrid') && cache.computed === live.timings.cache.computed + said.length, `${cache.computed} computed`);
                assert.equal(cache.disk, next.length - cache.computed);
                if (same) assert.deepEqual(again.tokens, live.tokens);
                assert.equal(await metric(server, 'warmslot_prompt_tokens_total{source="disk"}'), cache.disk);
                assert.ok((await metric(server, 'warmslot_disk_read_bytes_total')) > 0);
            } finally {
                assert.equal(await server.stop(), 0);
            }
        });

test('a second server reads what the first one has written, and can not write', async () => {
    const model = makeModel('dense'), dir = fresh('shared'), prompt = tokens(600, 3);
    const first = await start(args(model, dir));
    await complete(first, { prompt });
    await written(first);
    await assert.rejects(start(args(model, dir)), /--cache-disk: .*--cache-disk-ro shares it/);
    const second = await start(args(model, dir, '--cache-disk-ro'));
    assert.ok((await complete(second, { prompt })).timings.cache.disk > 500);
    await complete(second, { prompt: tokens(600, 4) });
    const before = files(dir);
    assert.equal(await second.stop(), 0);
    assert.deepEqual(files(dir), before);
    assert.equal(await first.stop(), 0);
});

test('with half of its files damaged or gone every request is answered, and rightly', async () => {
    const model = makeModel('dense'), dir = fresh('damaged'), prompt = tokens(1200, 5);
    let server = await start(args(model, dir));
    const whole = await complete(server, { prompt });
    assert.equal(await server.stop(), 0);
    files(dir).sort().forEach((name, i) => {
        const file = path.join(dir, name), bytes = fs.readFileSync(file);
        if (i % 4 === 0) fs.unlinkSync(file);
        if (i % 4 === 1) fs.writeFileSync(file, bytes.fill(bytes[5000] ^ 1, 5000, 5001));
        if (i % 4 === 2) fs.truncateSync(file, bytes.length / 2);
    });
    server = await start(args(model, dir));
    assert.deepEqual((await complete(server, { prompt })).tokens, whole.tokens);
    assert.equal(await server.stop(), 0);
    assert.ok(fs.readdirSync(dir).some((name) => name.endsWith('.bad')));
});

test('a directory that is removed under the server is given up', async () => {
    const model = makeModel('dense'), dir = fresh('removed'), prompt = tokens(600, 6);
    const server = await start(args(model, dir));
    await complete(server, { prompt });
    await written(server);
    fs.rmSync(dir, { recursive: true });
    for (let i = 0; i < 3; i++) await complete(server, { prompt: tokens(600, 10 + i) });
    assert.equal((await complete(server, { prompt })).timings.cache.computed, 1);
    assert.equal(await server.stop(), 0);
});

test('without --cache-disk there is no word of a disk', async () => {
    const server = await start(['-m', makeModel('dense'), '-t', '1', '--fit', 'off', '-c', '1024', '--metrics']);
    assert.equal((await complete(server, { prompt: tokens(200, 7) })).timings.cache.disk, undefined);
    assert.doesNotMatch((await server.get('/metrics')).text, /disk/);
    assert.equal(await server.stop(), 0);
});

test('values that make no sense are refused', () => {
    const run = (...more) => spawnSync(binary, ['-m', 'none.gguf', ...more], { encoding: 'utf8' });
    for (const [flag, value] of [['--cache-disk-size', '0'], ['--cache-disk-size', '101%'], ['--cache-disk-size', '5X'], ['--cache-disk-write-limit', '-1'], ['--cache-disk', '']]) {
        const answer = run(flag, value);
        assert.equal(answer.status, 2, `${flag} ${value}`);
        assert.match(answer.stderr, new RegExp(`${flag}': expected `));
    }
});
