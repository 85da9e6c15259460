// SPDX-License-Identifier: MIT
//
// bench/lib/traces.js - prompts as agents send them: recorded texts, where there are some, and patterns of tokens that a seed fixes.
//
// What a session's next prompt holds of its answers is drawn like the rest, not what the model said, so that every server gets the same prompts and
// the least that has to be computed (oracle.js) is known beforehand.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { Random } = require('../../tests/support/random.js');

// The texts of all calls of the sessions in a folder (one .jsonl file each), in turn.
function readCalls(folder) {
    const files = fs.readdirSync(folder).filter((name) => name.endsWith('.jsonl')).sort();
    const sessions = files.map((name) => fs.readFileSync(path.join(folder, name), 'utf8').trim().split('\n').map((line) => JSON.parse(line).input));
    return inTurn(sessions).filter(Boolean);
}

// [[a1, a2], [b1]] -> [a1, b1, a2]
function inTurn(lists) {
    const all = [];
    for (let i = 0; lists.some((list) => i < list.length); i++) {
        for (const list of lists) if (i < list.length) all.push(list[i]);
    }
    return all;
}

class Writer {
    constructor(seed) {
        this.random = new Random(seed);
    }

    text(least, most) {
        return Array.from({ length: this.random.between(least, most) }, () => 1000 + this.random.below(20000));
    }

    // The prompts of one session: what it starts with, and what each turn adds (an answer and what came of it).
    session(start, turns, least, most) {
        const prompts = [[...start]];
        while (prompts.length < turns) prompts.push([...prompts.at(-1), ...this.text(least, most)]);
        return prompts;
    }
}

// Sessions that share nothing, each as long as the other, in strict turn: the pattern in which the one that is needed next was used longest ago.
function rotation({ sessions, turns, first, more, seed = 1 }) {
    const writer = new Writer(seed);
    return inTurn(Array.from({ length: sessions }, () => writer.session(writer.text(first, first), turns, more, more)));
}

// Agents of two kinds, each with its system prompt: four sessions in turn, between their turns a title or a summary (a short prompt of its own), a sub-agent
// that starts from the same system prompt, the same prompt once more, and an old output of a tool that was shortened.
function agents({ system = 1500, turns = 6, seed = 1 } = {}) {
    const writer = new Writer(seed);
    const systems = [writer.text(system, system), writer.text(system >> 1, system >> 1)];
    const titles = writer.text(120, 120);
    const sessions = systems.flatMap((s) => [0, 1].map(() => writer.session([...s, ...writer.text(100, 300)], turns, 80, 500)));
    const subagent = writer.session([...systems[0], ...writer.text(150, 200)], 3, 80, 300);
    const prompts = [];
    inTurn(sessions).forEach((prompt, i) => {
        prompts.push(prompt);
        if (i % 5 === 1) prompts.push([...titles, ...writer.text(60, 120)]);
        if (i % 7 === 3 && subagent.length) prompts.push(subagent.shift());
        if (i % 9 === 5) prompts.push(prompt);
    });
    const last = sessions[0].at(-1);
    prompts.push([...last.slice(0, last.length >> 1), ...writer.text(20, 20), ...last.slice((last.length >> 1) + 150)]);
    return prompts;
}

module.exports = { readCalls, inTurn, Writer, rotation, agents };
