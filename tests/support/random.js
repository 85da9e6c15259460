// SPDX-License-Identifier: MIT
//
// tests/support/random.js - random numbers that a seed of 32 bits fixes, and conversations as users and agents make them.
'use strict';

class Random {
    constructor(seed) {
        this.state = seed >>> 0;
    }

    next() {
        let x = (this.state = (this.state + 0x6d2b79f5) >>> 0);
        x = Math.imul(x ^ (x >>> 15), x | 1);
        x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
        return (x ^ (x >>> 14)) >>> 0;
    }

    below(n) {
        return this.next() % n;
    }

    between(least, most) {
        return least + this.below(most - least + 1);
    }

    one(percent) {
        return this.below(100) < percent;
    }

    pick(list) {
        return list[this.below(list.length)];
    }

    // One of the names in { name: weight }.
    weighted(weights) {
        const names = Object.keys(weights);
        let left = this.below(names.reduce((sum, name) => sum + weights[name], 0));
        return names.find((name) => (left -= weights[name]) < 0);
    }
}

const WAYS = { extend: 36, again: 8, fork: 14, edit: 12, regenerate: 8, auxiliary: 12, begin: 10 };

// Conversations as arrays of tokens. What is drawn depends on the seed and on what was answered so far.
class Talks {
    constructor(random, { count = 6, longest }) {
        Object.assign(this, { random, longest, talks: Array.from({ length: count }, () => ({ tokens: [], turn: 0 })) });
        this.systems = [16, 100, 300].map((n) => this.text(Math.min(n, longest >> 2)));
    }

    text(n) {
        return Array.from({ length: n }, () => 1000 + this.random.below(20000));
    }

    // { talk, way, prompt }: a prompt of at most `longest` tokens. Whoever asks it says what came out of it with answered().
    next() {
        const { random } = this;
        const talk = random.pick(this.talks);
        let way = random.weighted(WAYS);
        if (talk.tokens.length + 1 > this.longest || talk.tokens.length === 0) way = 'begin';
        const room = (tokens) => Math.max(1, Math.min(random.between(1, random.one(80) ? 60 : 700), this.longest - tokens.length));
        const more = (tokens) => [...tokens, ...this.text(room(tokens))].slice(0, this.longest);
        const { tokens } = talk;
        let prompt;
        if (way === 'begin') prompt = more(random.pick(this.systems));
        else if (way === 'auxiliary') prompt = [...random.pick(this.systems).slice(0, this.longest >> 1), ...this.text(random.between(1, 20))];
        else if (way === 'again') prompt = talk.prompt;
        else if (way === 'extend') prompt = more(tokens);
        else if (way === 'regenerate') prompt = more(tokens.slice(0, talk.turn));
        else if (way === 'fork') {
            const from = random.pick(this.talks).tokens;
            prompt = more(from.slice(0, random.below(from.length + 1)));
        } else {
            const at = random.below(tokens.length);
            prompt = [...tokens.slice(0, at), ...this.text(random.between(1, 3)), ...tokens.slice(at + random.between(1, 3))].slice(0, this.longest);
        }
        return { talk: way === 'auxiliary' ? null : talk, way, prompt };
    }

    answered({ talk, prompt }, tokens) {
        if (talk) Object.assign(talk, { prompt, turn: talk.tokens.length < prompt.length ? talk.tokens.length : 0, tokens: [...prompt, ...tokens] });
    }
}

// What a cache without limits would know: prompts with what was answered, to the token.
class Known {
    constructor() {
        this.root = new Map();
    }

    add(tokens) {
        let node = this.root;
        for (const token of tokens) {
            if (!node.has(token)) node.set(token, new Map());
            node = node.get(token);
        }
    }

    match(tokens) {
        let node = this.root;
        let n = 0;
        while (n < tokens.length && (node = node.get(tokens[n]))) n++;
        return n;
    }
}

module.exports = { Random, Talks, Known };
