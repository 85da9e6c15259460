// SPDX-License-Identifier: MIT
//
// bench/lib/play.js - requests to a server, and what came of them: tokens computed, times to the first token, speed, memory.
'use strict';
const { start } = require('../../tests/support/server.js');
const { median, quantile, sum } = require('./stats.js');

// The threads of a server that has just answered spin for a while before they sleep.
const settle = () => new Promise((resolve) => setTimeout(resolve, 1000));

// One streamed completion: milliseconds (performance.now()) when it was asked and when its first and last events came, and the server's timings.
async function ask(server, body) {
    const asked = performance.now();
    let first, last;
    const answer = await server.stream('/completion', { temperature: 0, ignore_eos: true, ...body }, {
        onEvent: () => {
            last = performance.now();
            first ??= last;
        },
    });
    const { timings } = answer.events.at(-1) ?? {};
    if (answer.status !== 200 || !timings) throw new Error(`/completion: ${answer.status} ${answer.text}`);
    return { asked, first, last, timings };
}

// Tracks of prompts: those of one track one after the other, all tracks at once. Gives every answer, in the order of the tracks.
async function play(server, tracks, n_predict) {
    const all = await Promise.all(tracks.map(async (prompts) => {
        const answers = [];
        for (const prompt of prompts) answers.push(await ask(server, { prompt, n_predict }));
        return answers;
    }));
    return all.flat();
}

// A server of its own that plays the tracks. look(server): what else is wanted of it before it ends.
async function playOn({ program, args }, tracks, { n_predict = 8, look = () => null } = {}) {
    const server = await start(args, { program });
    await settle();
    const answers = await play(server, tracks, n_predict);
    const rss = server.peakRssBytes();
    const seen = await look(server);
    await server.stop();
    const firsts = answers.map((a) => a.first - a.asked);
    return { computed: sum(answers.map((a) => a.timings.prompt_n)), first: median(firsts), first95: quantile(firsts, 0.95), firsts, rss, seen };
}

// Token arrays of texts.
async function tokenize(model, texts) {
    const server = await start(['-m', model, '-c', '512', '-np', '1', '--cache-ram', '0']);
    const prompts = [];
    for (const content of texts) prompts.push((await server.ask('/tokenize', { content, add_special: true, parse_special: true })).tokens);
    await server.stop();
    return prompts;
}

module.exports = { settle, ask, play, playOn, tokenize };
