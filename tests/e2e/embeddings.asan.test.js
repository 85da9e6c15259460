// SPDX-License-Identifier: MIT
//
// Embeddings and reranking against a real server and model: their properties, that chats beside them keep their cache, and, where a
// llama-server is at hand, its very numbers and errors.
'use strict';
const { test, before } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { start, makeModel, tokens, root } = require('../support/server.js');

const small = ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128'];
const WIDTH = 64, BATCH = 512;
const peer = process.env.WARMSLOT_PEER || path.join(root, 'build/peer/bin/llama-server');
const without = fs.existsSync(peer) ? false : 'there is no llama-server to compare with';
let dense, ranker;
before(() => {
    dense = makeModel('dense', small);
    ranker = makeModel('rank', small);
});

async function withServer(args, fn, options) {
    const server = await start(['-t', '1', '-c', '2048', ...args], options);
    try {
        await fn(server);
        assert.equal((await server.get('/health')).status, 200);
    } finally {
        await server.stop();
    }
}

const texts = ['The capital of France is Paris.', 'a', 'Cells are the unit of life, and of memory.', 'The capital of France is Paris.'];
const norm = (v) => Math.hypot(...v);
const distance = (a, b) => Math.max(...a.map((x, i) => Math.abs(x - b[i])));
// Batches of other sizes give other last bits.
const near = (a, b, most = 2e-3) => a.length === b.length && distance(a, b) < most;
const embed = async (server, body) => (await server.ask('/v1/embeddings', body)).data.map((x) => x.embedding);

for (const pooling of ['mean', 'cls', 'last'])
    test(`embeddings with --pooling ${pooling} are of length 1, the same alone and together, and the same in all forms`, () =>
        withServer(['-m', dense, '--embeddings', '--pooling', pooling], async (server) => {
            const answer = await server.ask('/v1/embeddings', { input: texts, model: 'mine' });
            const n = (await Promise.all(texts.map((content) => server.ask('/tokenize', { content })))).reduce((sum, x) => sum + x.tokens.length, 0);
            assert.deepEqual({ ...answer, data: answer.data.length }, { model: 'mine', object: 'list', usage: { prompt_tokens: n, total_tokens: n }, data: texts.length });
            const vectors = answer.data.map((x) => x.embedding);
            for (const [i, x] of answer.data.entries()) {
                assert.deepEqual([x.index, x.object, x.embedding.length], [i, 'embedding', WIDTH]);
                assert.ok(Math.abs(norm(x.embedding) - 1) < 1e-5, `${norm(x.embedding)}`);
                assert.ok(near((await embed(server, { input: texts[i] }))[0], x.embedding));
            }
            assert.ok(near(vectors[0], vectors[3]) && !near(vectors[0], vectors[2], 0.02));
            const { tokens: ids } = await server.ask('/tokenize', { content: texts[0], add_special: true });
            assert.ok(near((await embed(server, { input: ids }))[0], vectors[0]));
            assert.ok(near((await embed(server, { input: [ids, ids] }))[1], vectors[0]));
            const [packed] = (await server.ask('/v1/embeddings', { input: texts[0], encoding_format: 'base64' })).data;
            assert.equal(packed.encoding_format, 'base64');
            const bytes = Buffer.from(packed.embedding, 'base64');
            assert.ok(near(Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i)), vectors[0]));
            for (const route of ['/embedding', '/embeddings']) {
                const native = await server.ask(route, { content: texts.slice(0, 2) });
                assert.deepEqual(native.map((x) => [x.index, x.embedding.length]), [[0, 1], [1, 1]]);
                assert.ok(near(native[0].embedding[0], vectors[0]));
            }
        }));

test('embd_normalize chooses the norm, of the request or of the server', () =>
    withServer(['-m', dense, '--embeddings', '--pooling', 'mean', '--embd-normalize', '1'], async (server) => {
        const of = async (more) => (await embed(server, { input: texts[0], ...more }))[0];
        const raw = await of({ embd_normalize: -1 }), sum = (v) => v.reduce((s, x) => s + Math.abs(x), 0);
        assert.ok(Math.abs(sum(await of({})) - 1) < 1e-5);
        assert.ok(near(await of({ embd_normalize: 2 }), raw.map((x) => x / norm(raw))));
        assert.ok(Math.abs(Math.max(...(await of({ embd_normalize: 0 })).map(Math.abs)) - 32760) < 1);
        const cubes = (await of({ embd_normalize: 3 })).reduce((s, x) => s + Math.abs(x) ** 3, 0);
        assert.ok(Math.abs(cubes - 1) < 1e-4);
    }));

test('without pooling each token has an embedding, as computed, and OpenAI has no form for that', () =>
    withServer(['-m', dense, '--embeddings'], async (server) => {
        const { tokens: ids } = await server.ask('/tokenize', { content: texts[0], add_special: true });
        const [{ embedding }] = await server.ask('/embeddings', { input: texts[0] });
        assert.deepEqual([embedding.length, embedding[0].length], [ids.length, WIDTH]);
        assert.ok(Math.abs(norm(embedding[0]) - 1) > 0.1);
        const answer = await server.post('/v1/embeddings', { input: 'a' });
        assert.equal(answer.status, 400);
        assert.match(answer.json.error.message, /Pooling type 'none' is not OAI compatible/);
    }));

test('a chat beside embeddings is answered and cached as without them', () =>
    withServer(['-m', dense, '--embeddings', '--pooling', 'mean'], async (server) => {
        const prompt = tokens(600, 1), request = { prompt, n_predict: 8, temperature: 0, return_tokens: true };
        const first = await server.ask('/completion', request);
        const together = await Promise.all([server.ask('/completion', { ...request, n_predict: 40 }), ...Array.from({ length: 4 }, () => embed(server, { input: Array(20).fill(texts[0]) }))]);
        assert.equal(together[0].timings.cache.computed, 1);
        assert.deepEqual(together[0].tokens.slice(0, 8), first.tokens);
        for (const vectors of together.slice(1)) assert.equal(vectors.length, 20);
    }));

test('only where the last token counts may an input be longer than a batch', async () => {
    const long = tokens(BATCH + 1, 3);
    await withServer(['-m', dense, '--embeddings', '--pooling', 'mean'], async (server) => {
        const answer = await server.post('/v1/embeddings', { input: long });
        assert.deepEqual([answer.status, answer.json.error.type], [500, 'server_error']);
        assert.match(answer.json.error.message, /input \(513 tokens\) is too large to process. increase the physical batch size \(current batch size: 512\)/);
        assert.equal((await embed(server, { input: long.slice(1) })).length, 1);
    });
    await withServer(['-m', dense, '--embeddings', '--pooling', 'last'], async (server) => {
        const [a, b] = await embed(server, { input: [long, tokens(1500, 3)] });
        assert.ok(!near(a, b, 0.02));
        const answer = await server.post('/v1/embeddings', { input: tokens(2049, 3) });
        assert.deepEqual([answer.status, answer.json.error.type, answer.json.error.n_prompt_tokens, answer.json.error.n_ctx], [400, 'exceed_context_size_error', 2049, 2048]);
    });
});

test('reranking sorts documents by score, in both forms', () =>
    withServer(['-m', ranker, '--reranking'], async (server) => {
        const documents = ['Paris is in France.', 'Cats sleep.', 'The unit of life is the cell.'];
        const jina = await server.ask('/v1/rerank', { query: 'What is a cell?', documents });
        assert.deepEqual([jina.object, jina.results.length, Object.keys(jina.usage)], ['list', 3, ['prompt_tokens', 'total_tokens']]);
        const scores = jina.results.map((x) => x.relevance_score);
        assert.deepEqual(scores, [...scores].sort((a, b) => b - a));
        assert.ok(scores.every((x) => x > 0 && x < 1) && scores[0] > scores[2]);
        assert.deepEqual(jina.results.map((x) => x.index).sort(), [0, 1, 2]);
        for (const route of ['/rerank', '/reranking', '/v1/reranking']) {
            const tei = await server.ask(route, { query: 'What is a cell?', texts: documents, return_text: true, top_n: 2 });
            assert.deepEqual(tei.map((x) => [x.index, x.text]), jina.results.slice(0, 2).map((x) => [x.index, documents[x.index]]));
            assert.ok(near(tei.map((x) => x.score), scores.slice(0, 2)));
        }
        assert.equal((await server.ask('/rerank', { query: 'a', documents: ['a', 'b'], top_n: 0 })).results.length, 0);
    }));

// What is refused, here and there: the same status and type. (An empty list is a mistake of the client's here, and the server's there.)
const refused = [
    ['/v1/embeddings', {}], ['/v1/embeddings', { input: '' }], ['/v1/embeddings', { input: ['a', ''] }],
    ['/v1/embeddings', { input: 'a', encoding_format: 'hex' }], ['/embeddings', {}], ['/rerank', { query: 'a', documents: ['b'] }],
];
const refusedRank = [['/rerank', {}], ['/rerank', { query: 1, documents: ['a'] }], ['/rerank', { query: 'a' }], ['/rerank', { query: 'a', documents: [] }], ['/rerank', { query: 'a', documents: 'b' }]];

async function refuses(server, requests, other) {
    for (const [route, body] of requests) {
        const answer = await server.post(route, body);
        assert.ok([400, 501].includes(answer.status), `${route} ${JSON.stringify(body)}: ${answer.status} ${answer.text}`);
        if (!other) continue;
        const { status, json } = await other.post(route, body);
        assert.deepEqual([answer.status, answer.json.error.type], [status, json.error.type], `${route} ${JSON.stringify(body)}`);
    }
}

test('what is no request for embeddings is refused, and so are servers without them', async () => {
    await withServer(['-m', dense, '--embeddings', '--pooling', 'cls'], (server) => refuses(server, [...refused, ['/v1/embeddings', { input: [] }]]));
    await withServer(['-m', ranker, '--reranking'], (server) => refuses(server, refusedRank));
    await withServer(['-m', dense], async (server) => {
        for (const route of ['/embedding', '/v1/embeddings', '/rerank']) {
            const answer = await server.post(route, { input: 'a', query: 'a', documents: ['a'] });
            assert.deepEqual([answer.status, answer.json.error.type], [501, 'not_supported_error']);
        }
    });
});

for (const pooling of ['none', 'mean', 'cls', 'last', 'rank'])
    test(`with --pooling ${pooling} the numbers and the errors are llama-server's`, { skip: without }, () => {
        const args = ['-m', pooling === 'rank' ? ranker : dense, ...(pooling === 'rank' ? ['--reranking'] : ['--embeddings', '--pooling', pooling])];
        return withServer(args, (ours) =>
            withServer([...args, '-np', '1'], async (theirs) => {
                if (pooling === 'rank') {
                    const body = { query: texts[0], documents: [...texts, 'x'] };
                    const [a, b] = await Promise.all([ours.ask('/rerank', body), theirs.ask('/rerank', body)]);
                    const byIndex = (x) => [...x.results].sort((p, q) => p.index - q.index).map((r) => r.relevance_score);
                    assert.ok(near(byIndex(a), byIndex(b)), JSON.stringify([byIndex(a), byIndex(b)]));
                    assert.deepEqual([a.usage, Object.keys(a)], [b.usage, Object.keys(b)]);
                    return refuses(ours, refusedRank, theirs);
                }
                for (const content of [texts[0], texts, tokens(BATCH, 5)]) {
                    const [a, b] = await Promise.all([ours.ask('/embeddings', { content }), theirs.ask('/embeddings', { content })]);
                    assert.equal(a.length, b.length);
                    for (const [i, x] of a.entries()) x.embedding.forEach((v, k) => assert.ok(near(v, b[i].embedding[k], 2e-3 * Math.max(1, norm(v))), `${i} ${k}: ${distance(v, b[i].embedding[k])}`));
                }
                return refuses(ours, refused.filter(([route]) => pooling !== 'none' || !route.startsWith('/v1')), theirs);
            }, { program: peer }));
    });
