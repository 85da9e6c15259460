// SPDX-License-Identifier: MIT
//
// tests/support/soak.js - random requests to servers of one kind of model, for a while.
//
// One server after the other, each with settings, conversations and requests that follow from its seed (as far as they do not depend on answers and
// timing): slots, context, batches, a cache of nothing, of a few MiB or ample. Requests come in rounds of up to four at once. While a round runs and
// behind it is asked, over HTTP alone:
//   (1) no byte above the budget is counted, no cell above the context, and nothing is counted down; (2) the slots are what they can be, and idle in the end;
//   (3) each prompt's tokens add up, by answer and in sum; (4) without the cache's memory or leave to use it nothing is known, and with ample memory, where the
//   kind allows, what was asked before; (5) greedy answers are those of a server without a cache (judge.js); (6) what is wrong is refused with a 4xx; (7) the server
//   ends with status 0 and its log has no error.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { compare, allowed, forbidden, metric } = require('./judge.js');
const { Random, Talks, Known } = require('./random.js');
const { start, makeModel, binary, root } = require('./server.js');

// The smallest vocabulary there is: most of the time goes into the instrumented handling of candidates.
const MODEL = ['--vocab', 'phi-3'];

// whole: what is known is found to the token, at any place.
const kinds = [
    { name: 'dense', whole: true },
    { name: 'moe', whole: true },
    { name: 'swa' },
    { name: 'recurrent' },
    { name: 'hybrid' },
    { name: 'hybrid-ssm' },
    { name: 'hybrid-swa' },
];

const WORLD_MS = 15000;
const HANG_MS = 60000;
const MOST_RATIO = 1.05; // a share of the known may be computed again where that is faster than to load it
const N_PROBS = 8;
// Noise that is always granted. With quantized KV most prompts show none at all, and some as much as tests/exact prints for cells out of order (0.034 at
// the most); a wrong piece moves logits by 5.8 at least.
// With f16 and plain attention: what tests/exact prints for prompts of a dense model, flash attention on, that are split otherwise; a few prompts show less
// of it than others have. A wrong piece moves logits by 8.5 there. Not with a window: one missing row moves them by no more than 0.026.
const LEAST_NOISE = 3e-4;
const LEAST_NOISE_PLAIN = 0.023;
const LEAST_NOISE_QUANTIZED = 0.034;
const MOST_LOOKS = 8;
const MOST_FAILURES = 5;
const REQUESTS = { greedy: 52, sampled: 8, uncached: 6, salted: 4, leaves: 14, chat: 4, text: 3, several: 4, wrong: 3, large: 2 };

const wrong = [
    { prompt: 5 }, { prompt: [1, 'a', {}] }, { prompt: [-1] }, { prompt: [1e9] }, {}, { prompt: 'a', n_predict: 'many' }, { prompt: 'a', id_slot: 99 },
    { prompt: 'a', grammar: 'root ::= (' }, { prompt: 'a', temperature: 'hot' }, { prompt: 'a', stop: [''] }, { prompt: 'a', n: 100 }, '{"prompt": "a"', 'null',
];

/* ---- settings ---- */

function numerics(random) {
    const flash = random.one(70);
    return ['-fa', flash ? 'on' : 'off', ...(random.one(25) ? ['-ctk', 'q8_0', ...(flash ? ['-ctv', 'q8_0'] : [])] : [])];
}

function settings(random, seed) {
    const memory = ['ample', 'tiny', 'ample', 'tiny', 'ample', 'none'][seed % 6];
    const slots = random.between(1, 3);
    const cells = 256 * random.between(3, 12);
    const mib = { ample: 1024, tiny: random.between(1, 4), none: 0 }[memory];
    const ubatch = random.pick([64, 128, 256, 512]);
    return { memory, slots, cells, mib, args: ['-np', String(slots), '-c', String(cells), '-ub', String(ubatch), '-b', String(Math.max(ubatch, 256)), '--cache-ram', String(mib)] };
}

const COMMON = ['-t', '1', '--fit', 'off', '--metrics', '--no-warmup'];

/* ---- judging ---- */

const greedy = (prompt, n_predict) => ({ prompt, n_predict, n_probs: N_PROBS, temperature: 0, ignore_eos: true, return_tokens: true });

// Servers without a cache. The first one is the reference; the others show the noise: they split prompts in other ways, and their context is so small that
// a sequence's cells are soon anywhere, between those of the request beside it.
class Reference {
    static async start(kind, model, args) {
        const servers = [];
        for (const [cells, ubatch] of [['4096', '512'], ['2560', '17'], ['2560', '1']])
            servers.push(await start(['-m', model, ...COMMON, ...args, '-np', '2', '-c', cells, '-b', '512', '-ub', ubatch, '--cache-ram', '0', '--no-cache-prompt']));
        const noise = args.includes('q8_0') ? LEAST_NOISE_QUANTIZED : kind.whole ? LEAST_NOISE_PLAIN : LEAST_NOISE;
        const reference = Object.assign(new Reference(), { servers, noise });
        const talks = new Talks(new Random(1), { longest: 700 });
        for (const n of [20, 90, 250, 400]) {
            const body = greedy(talks.text(n), 16);
            reference.noise = Math.max(reference.noise, await reference.noiseOf(body, await servers[0].ask('/completion', body)));
        }
        return reference;
    }

    async noiseOf(body, plain) {
        const beside = greedy(body.prompt.slice(body.prompt.length >> 1), body.n_predict);
        let noise = 0;
        for (const server of this.servers.slice(1)) {
            const [, answer] = await Promise.all([beside, body].map((each) => server.ask('/completion', each)));
            noise = Math.max(noise, compare([plain], [answer]).largest);
        }
        return noise;
    }

    // The noise of a few prompts is a guess. Where it does not suffice, that of the prompt in question decides, for this one alone: some are near to where
    // another expert is chosen, and their noise would excuse anything.
    async judge(body, answer) {
        const plain = await this.servers[0].ask('/completion', body);
        const result = compare([plain], [answer]);
        let { noise } = this;
        for (let i = 0; i < MOST_LOOKS && !allowed(result, noise); i++) noise = Math.max(noise, await this.noiseOf(body, plain));
        assert.ok(allowed(result, noise), `the answer differs by ${result.largest} (noise ${noise}), apart at ${JSON.stringify(result.parted)}, of which ${forbidden(result, noise).length} not near a tie`);
        return result;
    }

    async stop() {
        for (const server of this.servers) await server.stop();
    }
}

/* ---- one server ---- */

function withinTime(promise) {
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error('a request hangs')), HANG_MS)));
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

class World {
    constructor(kind, seed, totals) {
        const random = new Random(seed);
        Object.assign(this, { kind, seed, totals, random, numerics: numerics(random), ...settings(random, seed), journal: [], known: new Known(), prompts: { device: 0, ram: 0, computed: 0 }, left: false, computed: 0, least: 0 });
        this.talks = new Talks(random, { longest: Math.min(this.cells - 64, 1500) });
    }

    async run(model, reference, until) {
        this.reference = reference;
        this.server = await start(['-m', model, ...COMMON, ...this.numerics, ...this.args]);
        try {
            while (Date.now() < until) await this.round();
            const metrics = (await this.server.get('/metrics')).text;
            this.totals.evicted += metric(metrics, 'warmslot_cache_evicted_total') || 0;
        } finally {
            this.status = await this.server.stop();
        }
        assert.equal(this.status, 0, 'exit status');
        this.checkLog();
        this.totals.computed += this.computed;
        this.totals.least += this.least;
        if (this.kind.whole) assert.ok(this.computed <= MOST_RATIO * this.least + 100, `${this.computed} tokens were computed where ${this.least} were not known`);
    }

    checkLog() {
        const bad = /^.*(?:Sanitizer|runtime error:|Assertion).*$|^\S+ error .*$/m.exec(this.server.log());
        assert.equal(bad && bad[0], null);
    }

    note(text) {
        this.journal.push(text);
    }

    async round() {
        const drawn = Array.from({ length: this.random.one(40) ? 1 : this.random.between(2, 4) }, () => this.draw());
        const known = drawn.map(({ body }) => this.match(body.prompt));
        let busy = true;
        const watch = (async () => {
            do await this.look(false); while (busy);
        })();
        watch.catch(() => {});
        try {
            await withinTime(Promise.all(drawn.map((request, i) => this.perform(request, known[i]))));
        } finally {
            busy = false;
        }
        await watch;
        await this.look(true);
        for (const { body, answer, judged } of drawn) {
            if (!judged) continue;
            const { parted } = await this.reference.judge(body, answer);
            this.totals.judged++;
            this.totals.parted += parted.length;
        }
        if (this.random.one(25)) await this.again(this.random.pick(drawn));
    }

    match(prompt) {
        return Array.isArray(prompt) ? Math.min(this.known.match(prompt), prompt.length - 1) : 0;
    }

    draw() {
        const { random, talks } = this;
        const type = random.weighted(REQUESTS);
        const wanted = talks.next();
        const n_predict = random.between(1, random.one(90) ? 24 : 64);
        const request = { type, wanted, delay: random.one(50) ? random.below(40) : 0, stream: random.one(40), body: greedy(wanted.prompt, n_predict) };
        if (!(request.judged = type === 'greedy' && random.one(35))) delete request.body.n_probs;
        const { body } = request;
        if (type === 'sampled') Object.assign(body, { temperature: 1, seed: random.below(1000), ignore_eos: false });
        else if (type === 'uncached') body.cache_prompt = false;
        else if (type === 'salted') body.cache_salt = `salt ${random.next()}`;
        else if (type === 'leaves') Object.assign(request, { stream: true, leave: random.pick(['prefill', 'prefill', 'generation', 'at once']) }), Object.assign(body, { return_progress: true, n_predict: 400 });
        else if (type === 'large') body.prompt = talks.text(this.cells + random.between(1, 300));
        else if (type === 'several') Object.assign(body, { n: random.between(1, this.slots), id_slot: random.between(-1, this.slots - 1) });
        else if (type === 'wrong') request.body = random.pick(wrong);
        return request;
    }

    async perform(request, known) {
        const { type, wanted, delay, body, stream, leave } = request;
        this.note(`${type} ${wanted.way} prompt=${wanted.prompt.length} known=${known} n_predict=${body.n_predict} delay=${delay}${stream ? ' stream' : ''}${leave ? ` leaves ${leave}` : ''}`);
        if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
        this.totals.requests++;
        if (type === 'wrong' || type === 'large') await this.refused(type, body);
        else if (type === 'leaves') await this.leaves(leave, body);
        else if (type === 'chat' || type === 'text') await this.openai(type, body);
        else if (type === 'several') (await this.several(body)).forEach((answer) => this.checkAnswer(request, answer, 0));
        else {
            request.answer = stream ? await this.streamed(body) : await this.server.ask('/completion', body);
            this.checkAnswer(request, request.answer, known);
            if (type !== 'uncached' && type !== 'salted') this.learn(wanted, request.answer.tokens);
        }
    }

    learn(wanted, tokens) {
        this.known.add([...wanted.prompt, ...tokens.slice(0, -1)]);
        this.talks.answered(wanted, tokens);
    }

    async refused(type, body) {
        const answer = await this.server.post('/completion', body);
        assert.equal(answer.status, 400, `${JSON.stringify(body).slice(0, 100)}: ${answer.text.slice(0, 300)}`);
        if (type === 'large') {
            assert.equal(answer.json.error.type, 'exceed_context_size_error');
            assert.deepEqual([answer.json.error.n_prompt_tokens, answer.json.error.n_ctx], [body.prompt.length, this.cells]);
        }
    }

    // What was left half done may be known or not.
    async leaves(when, body) {
        this.left = true;
        const leaving = new AbortController();
        const onEvent = (event) => {
            if (when === 'prefill' || !event.prompt_progress) leaving.abort();
        };
        const stream = this.server.stream('/completion', body, { signal: leaving.signal, onEvent });
        if (when === 'at once') setImmediate(() => leaving.abort());
        await assert.rejects(stream, { code: 'ABORT_ERR' });
    }

    async openai(type, body) {
        const content = `Question ${this.random.below(5)}: what is ${body.prompt.slice(0, 40).join(' and ')}?`;
        const answer = type === 'chat'
            ? await this.server.ask('/v1/chat/completions', { messages: [{ role: 'user', content }], max_tokens: body.n_predict })
            : await this.server.ask('/v1/completions', { prompt: content, max_tokens: body.n_predict });
        assert.equal(answer.choices.length, 1);
        assert.ok(answer.usage.prompt_tokens > 0 && answer.usage.completion_tokens > 0 && answer.usage.completion_tokens <= body.n_predict);
        const { device, ram, computed } = answer.timings.cache;
        assert.equal(device + ram + computed, answer.usage.prompt_tokens);
        this.count(answer.timings, answer.usage.completion_tokens);
    }

    async several(body) {
        const answers = await this.server.ask('/completion', body);
        return Array.isArray(answers) ? answers : [answers];
    }

    async streamed(body) {
        const { status, events, text } = await this.server.stream('/completion', body);
        assert.equal(status, 200, text);
        const last = events.at(-1);
        assert.ok(last && last.stop, `a stream without an end: ${text.slice(-300)}`);
        const collect = (field) => events.flatMap((event) => event[field] || []);
        return { ...last, tokens: collect('tokens'), completion_probabilities: collect('completion_probabilities') };
    }

    count({ cache }, n_predicted) {
        for (const source of ['device', 'ram', 'computed']) this.prompts[source] += cache[source];
        this.totals.tokens += cache.device + cache.ram + cache.computed + n_predicted;
        this.totals.restored += cache.ram;
        this.totals.reused += cache.device;
    }

    checkAnswer({ type, body }, answer, known) {
        const { device, ram, computed } = answer.timings.cache;
        const n = body.prompt.length;
        this.note(`  -> prompt=${n} device=${device} ram=${ram} computed=${computed} generated=${answer.tokens_predicted}`);
        assert.equal(device + ram + computed, n, 'the sum of the prompt');
        assert.deepEqual([answer.timings.cache_n, answer.timings.prompt_n, answer.tokens_evaluated, answer.truncated], [device + ram, computed, n, false]);
        assert.ok(computed >= 1, 'the last token is computed');
        assert.equal(answer.tokens.length, answer.tokens_predicted);
        if (body.ignore_eos) assert.equal(answer.tokens_predicted, body.n_predict);
        if (type === 'uncached' || type === 'salted') assert.equal(device + ram, 0, 'nothing of others is shared');
        if (this.mib === 0) assert.equal(ram, 0, 'there is no host memory');
        if (this.memory === 'ample' && !['uncached', 'salted', 'several'].includes(type)) {
            this.computed += computed;
            this.least += n - Math.max(known, device + ram);
        }
        this.count(answer.timings, answer.tokens_predicted);
    }

    // The same prompt again, alone: one token is computed, if the memory is there.
    async again({ type, body }) {
        if (!['greedy', 'sampled'].includes(type)) return;
        this.totals.requests++;
        this.note(`again ${body.prompt.length}`);
        const request = { type, body: { ...body, n_probs: undefined } };
        this.checkAnswer(request, await this.server.ask('/completion', request.body), this.match(body.prompt));
    }

    // The accounts, while requests run or, with idle, when none does.
    async look(idle) {
        const end = Date.now() + 60000;
        for (;;) {
            const [metrics, slots] = await Promise.all([this.server.get('/metrics'), this.server.get('/slots')]);
            assert.deepEqual([metrics.status, slots.status], [200, 200]);
            const value = (name) => metric(metrics.text, name);
            this.checkAccounts(value, metrics.text);
            this.checkSlots(slots.json);
            const active = value('llamacpp:requests_processing') + value('llamacpp:requests_deferred') + value('warmslot_requests_parked');
            if (!idle) return;
            if (active === 0 && slots.json.every((slot) => !slot.is_processing)) return this.checkSums(metrics.text);
            assert.ok(Date.now() < end, `not idle after a minute: ${JSON.stringify(slots.json)}`);
        }
    }

    checkAccounts(value, text) {
        assert.ok(value('warmslot_cells_used') <= value('warmslot_cells'), 'cells');
        assert.ok(value('llamacpp:requests_processing') <= this.slots, 'running');
        // A kind that is served without a cache has no accounts.
        assert.ok(!this.kind.whole || !this.mib || value('warmslot_cache_budget_bytes') > 0);
        if (value('warmslot_cache_budget_bytes') > 0) {
            const limit = value('warmslot_cache_budget_bytes'), used = value('warmslot_cache_budget_used_bytes'), peak = value('warmslot_cache_budget_peak_bytes');
            assert.ok(limit <= this.mib * 2 ** 20 && used <= limit && used <= peak, `${used} of ${limit} bytes, at most ${peak}`);
            assert.ok(peak <= this.mib * 2 ** 20, `${peak} bytes at most`);
            assert.equal(value('warmslot_cache_damaged_total'), 0, 'damaged');
        }
        const counters = new Map([...text.matchAll(/^(\S+_total(?:\{\S*\})?) (\S+)$/gm)].map(([, name, number]) => [name, Number(number)]));
        for (const [name, number] of counters) assert.ok(number >= (this.counters?.get(name) ?? 0), `${name} went down to ${number}`);
        if (!this.counters || [...counters].every(([name, number]) => number >= (this.counters.get(name) ?? 0))) this.counters = counters;
    }

    checkSlots(slots) {
        assert.deepEqual(slots.map(({ id }) => id), Array.from({ length: this.slots }, (_, i) => i));
        for (const slot of slots) {
            assert.equal(slot.is_processing, slot.state !== 'idle', slot.state);
            if (slot.is_processing) assert.ok(slot.n_prompt_tokens_processed + slot.n_prompt_tokens_cache <= slot.n_prompt_tokens, JSON.stringify({ ...slot, params: undefined }));
        }
    }

    // By source, what the answers said; those who left were not told.
    checkSums(text) {
        for (const source of ['device', 'ram', 'computed']) {
            const counted = Number(new RegExp(`^warmslot_prompt_tokens_total\\{source="${source}"\\} (\\S+)$`, 'm').exec(text)[1]);
            if (this.left) assert.ok(counted >= this.prompts[source], `${source}: ${counted} counted, ${this.prompts[source]} answered`);
            else assert.equal(counted, this.prompts[source], source);
        }
    }
}

/* ---- one kind ---- */

function knownKinds() {
    const { status, stdout, stderr } = spawnSync(binary, ['mkmodel', '--help'], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${binary} mkmodel --help: ${stderr}`);
    return kinds.filter(({ name }) => new RegExp(`^  ${name} `, 'm').test(stdout));
}

function report(world, error) {
    const folder = path.join(root, 'build/log');
    const file = path.join(folder, `soak-${world.kind.name}-${world.seed}.log`);
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(file, `${error.stack}\n\n${[...world.numerics, ...world.args].join(' ')}\n\n${world.journal.join('\n')}\n\n${world.server ? world.server.log() : ''}`);
    return { seed: world.seed, file, message: error.message.split('\n')[0] };
}

// Serves for `seconds`, the first server with this seed, the next one with the next. Gives the totals; failures are described in files.
async function soakKind(kind, { seconds, seed }) {
    const totals = { kind: kind.name, seed, worlds: 0, requests: 0, tokens: 0, reused: 0, restored: 0, evicted: 0, computed: 0, least: 0, judged: 0, parted: 0, seconds: 0, failures: [] };
    const references = new Map();
    const model = makeModel(kind.name, MODEL);
    for (let left = seconds * 1000; left > 0 && totals.failures.length < MOST_FAILURES; ) {
        const world = new World(kind, (seed + totals.worlds++) >>> 0, totals);
        const key = world.numerics.join(' ');
        if (!references.has(key)) references.set(key, await Reference.start(kind, model, world.numerics));
        const begun = Date.now();
        // An equal share for each, and none too short for its server to be filled.
        await world.run(model, references.get(key), begun + left / Math.ceil(left / WORLD_MS)).catch((error) => totals.failures.push(report(world, error)));
        left -= Date.now() - begun;
        totals.seconds += (Date.now() - begun) / 1000;
        if (left < 3000) break;
    }
    for (const reference of references.values()) await reference.stop();
    return totals;
}

function summary(t) {
    const line = `${t.kind.padEnd(11)} seed ${t.seed}: ${t.worlds} servers, ${t.requests} requests, ${t.tokens} tokens (${t.reused} reused in the context, ${t.restored} restored), ${t.evicted} blocks evicted, with ample memory ${t.computed} computed where ${t.least} were new, ${t.judged} answers judged (${t.parted} part near a tie), ${t.seconds.toFixed(0)} s, ${t.failures.length} failures`;
    return [line, ...t.failures.map((f) => `  seed ${f.seed}: ${f.message}\n    (${f.file})`)].join('\n');
}

// Runs the jobs (functions that give promises), as many at a time as said.
async function inParallel(jobs, n) {
    const left = [...jobs];
    await Promise.all(Array.from({ length: n }, async () => {
        for (let job; (job = left.shift()); ) await job();
    }));
}

module.exports = { knownKinds, soakKind, summary, inParallel };
