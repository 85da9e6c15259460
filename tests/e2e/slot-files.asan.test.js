// SPDX-License-Identifier: MIT
//
// Slots that are saved to files, restored after a restart, and erased: every kind of model.
'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { makeLora } = require('../support/lora.js');
const { start, makeModel, tokens, temporaryFolder } = require('../support/server.js');

const folder = temporaryFolder();
const args = (model, ...more) => ['-m', model, '-t', '1', '-np', '2', '-c', '4096', '--fit', 'off', '--slot-save-path', folder, ...more];
const action = (server, id, verb, filename) => server.post(`/slots/${id}?action=${verb}`, filename === undefined ? undefined : { filename });
const complete = (server, body) => server.ask('/completion', { n_predict: 12, temperature: 0, ignore_eos: true, return_tokens: true, ...body });

async function done(server, id, verb, filename) {
    const answer = await action(server, id, verb, filename);
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
}

async function withServer(model, work, ...more) {
    const server = await start(args(model, ...more));
    try {
        await work(server);
    } finally {
        assert.equal(await server.stop(), 0);
    }
}

const flags = { swa: [], recurrent: [], hybrid: [], 'hybrid-ssm': [], 'hybrid-swa': [], moe: [], dense: [] };
for (const kind of Object.keys(flags))
    test(`${kind}: a restored slot goes on as the live one does`, async () => {
        const model = makeModel(kind), prompt = tokens(700, 1), file = `${kind}.slot`;
        let next, live, saved;
        await withServer(model, async (server) => {
            const { tokens: said } = await complete(server, { prompt, id_slot: 0 });
            next = [...prompt, ...said, ...tokens(70, 2)];
            saved = await done(server, 0, 'save', file);
            assert.equal(saved.id_slot, 0);
            assert.equal(saved.filename, file);
            assert.equal(saved.n_saved, 711);
            assert.equal(saved.n_written, fs.statSync(path.join(folder, file)).size);
            assert.ok(saved.timings.save_ms >= 0);
            live = await complete(server, { prompt: next });
        });
        await withServer(model, async (server) => {
            const restored = await done(server, 1, 'restore', file);
            assert.deepEqual({ ...restored, timings: 0 }, { id_slot: 1, filename: file, n_restored: saved.n_saved, n_read: saved.n_written, timings: 0 });
            assert.ok(restored.timings.restore_ms >= 0);
            const again = await complete(server, { prompt: next, id_slot: 0 });
            assert.equal(again.timings.cache.computed, live.timings.cache.computed);
            assert.equal(again.timings.cache.computed, next.length - saved.n_saved);
            assert.deepEqual(again.tokens, live.tokens);
            // Another answer to the prompt before it.
            assert.equal((await complete(server, { prompt, id_slot: 0 })).timings.cache.computed, 1);
            assert.equal((await done(server, 1, 'erase')).n_erased, saved.n_saved);
        });
    });

test('a file of another model, of other settings or of no slot at all changes nothing', async () => {
    const dense = makeModel('dense'), prompt = tokens(300, 3);
    await withServer(dense, async (server) => {
        await complete(server, { prompt, id_slot: 0 });
        await done(server, 0, 'save', 'dense-300');
    });
    fs.writeFileSync(path.join(folder, 'noise'), Buffer.alloc(5000, 7));
    const whole = fs.readFileSync(path.join(folder, 'dense-300'));
    fs.writeFileSync(path.join(folder, 'short'), whole.subarray(0, whole.length - 1));
    fs.writeFileSync(path.join(folder, 'flipped'), Buffer.from(whole).fill(whole[4000] ^ 1, 4000, 4001));
    const newer = Buffer.from(whole);
    newer.writeUInt32LE(2, 8);
    fs.writeFileSync(path.join(folder, 'newer'), newer);
    fs.mkdirSync(path.join(folder, 'folder'), { recursive: true });
    const refused = async (server, file, status, says) => {
        const answer = await action(server, 0, 'restore', file);
        assert.equal(answer.status, status, answer.text);
        assert.match(answer.json.error.message, says);
    };
    await withServer(makeModel('dense', ['--seed', '5']), async (server) => {
        const mine = await complete(server, { prompt: tokens(200, 4), id_slot: 0 });
        await refused(server, 'dense-300', 400, /another model or settings \(model\): '.*sha256 [0-9a-f]+' there, '.*sha256 [0-9a-f]+' here$/);
        await refused(server, 'noise', 400, /not a slot that warmslot has saved/);
        await refused(server, 'newer', 400, /version 2 of the format, and this warmslot reads version 1/);
        await refused(server, 'folder', 400, /is not a file/);
        await refused(server, 'nothing', 404, /there is no file 'nothing'/);
        const prompt_ = [...tokens(200, 4), ...mine.tokens];
        assert.equal((await complete(server, { prompt: prompt_, id_slot: 1 })).timings.cache.computed, 1);
        assert.equal((await done(server, 0, 'erase')).n_erased, 211);
    });
    await withServer(dense, async (server) => {
        await refused(server, 'short', 400, /damaged/);
        await refused(server, 'flipped', 400, /damaged: the checksum/);
        assert.equal((await complete(server, { prompt })).timings.cache.computed, 300);
    });
    await withServer(dense, (server) => refused(server, 'dense-300', 400, /settings \(.*\): '.*' there, '.*q8_0.*' here$/), '-ctk', 'q8_0', '-ctv', 'q8_0', '-fa', 'on');
});

test('what is wrong with a request is said', async () => {
    await withServer(makeModel('dense'), async (server) => {
        for (const [id, verb, body, says] of [
            ['2', 'save', { filename: 'a' }, /^Invalid slot ID$/], ['-1', 'save', { filename: 'a' }, /^Invalid slot ID$/], ['x', 'erase', {}, /^Invalid slot ID$/],
            ['0', 'keep', { filename: 'a' }, /^Invalid action$/], ['0', '', {}, /^Invalid action$/], ['0', 'save', {}, /^Field 'filename': expected a string, got null$/],
            ['0', 'restore', { filename: 7 }, /^Field 'filename'/], ['0', 'save', 'filename', /./],
            ...['', '..', '.', '../a', 'a/b', 'a\\b', '/etc/passwd', 'a..b', ' a', 'a ', 'a.', 'a\u0000b', 'a\u0001', 'a:b', '.warmslot-1-1.tmp', 'x'.repeat(256), '\uff0e'].map((filename) => ['0', 'save', { filename }, /^Invalid filename$/]),
        ]) {
            const answer = await server.post(`/slots/${id}?action=${verb}`, body);
            assert.equal(answer.status, 400, `${id} ${verb} ${JSON.stringify(body)}: ${answer.text}`);
            assert.match(answer.json.error.message, says);
        }
        assert.deepEqual(await done(server, 0, 'erase'), { id_slot: 0, n_erased: 0 });
        assert.equal((await done(server, 1, 'save', 'grüße 1.bin')).n_saved, 0);
        assert.ok(fs.existsSync(path.join(folder, 'grüße 1.bin')));
    });
    const server = await start(['-m', makeModel('dense'), '-t', '1', '-c', '512', '--fit', 'off']);
    const answer = await action(server, 0, 'save', 'a');
    assert.equal(answer.status, 501);
    assert.match(answer.json.error.message, /Start it with `--slot-save-path`/);
    assert.equal(await server.stop(), 0);
});

test('a slot is saved when the request that has it has ended', async () => {
    await withServer(makeModel('dense'), async (server) => {
        const running = server.stream('/completion', { prompt: tokens(300, 6), n_predict: 60, ignore_eos: true, id_slot: 0 });
        for (let busy = false; !busy; ) busy = (await server.get('/slots')).json[0].is_processing;
        const saved = await done(server, 0, 'save', 'waited');
        assert.equal((await running).events.at(-1).tokens_predicted, 60);
        assert.equal(saved.n_saved, 359);
    });
});

test('a directory that is gone is an error, and the server goes on', async () => {
    const gone = temporaryFolder();
    const server = await start([...args(makeModel('dense')), '--slot-save-path', gone]);
    fs.rmdirSync(gone);
    const answer = await action(server, 0, 'save', 'a');
    assert.equal(answer.status, 500, answer.text);
    assert.match(answer.json.error.message, /can't open the directory of 'a': No such file or directory/);
    assert.equal((await action(server, 0, 'restore', 'a')).status, 500);
    assert.equal((await complete(server, { prompt: 'The fox' })).tokens.length, 12);
    assert.equal(await server.stop(), 0);
});

test('a restored slot is found under the same salt and the same adapters only', async () => {
    const model = makeModel('dense', ['--embd', '64', '--heads', '2', '--kv-heads', '1', '--layers', '2', '--ff', '128']);
    const adapter = makeLora({ columns: 64, rows: 64 });
    const prompt = tokens(300, 7), body = { prompt, id_slot: 0, lora: [{ id: 0, scale: 0.5 }], cache_salt: 'mine' };
    const computed = async (server, changes) => (await complete(server, { ...body, ...changes })).timings.cache.computed;
    await withServer(model, async (server) => {
        await complete(server, body);
        await done(server, 0, 'save', 'adapted');
    }, '--lora', adapter);
    await withServer(model, async (server) => {
        await done(server, 0, 'restore', 'adapted');
        assert.equal(await computed(server, { cache_salt: 'yours' }), 300);
        assert.equal(await computed(server, { lora: [{ id: 0, scale: 1 }] }), 300);
        assert.equal(await computed(server, {}), 1);
    }, '--lora', adapter);
    await withServer(model, async (server) => {
        const answer = await action(server, 0, 'restore', 'adapted');
        assert.equal(answer.status, 400);
        assert.match(answer.json.error.message, /^'adapted' can't be restored: it was made with an adapter that is not loaded: 'adapter: .*, scale 0.5'$/);
    });
});

test('no temporary file is left', () => {
    assert.deepEqual(fs.readdirSync(folder).filter((name) => name.startsWith('.')), []);
});
