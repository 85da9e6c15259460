// SPDX-License-Identifier: MIT
//
// tests/support/judge.js - whether answers are those of a server without a cache, as the design's test (c) says: answers to /completion with n_probs,
// temperature 0 and ignore_eos, in the same order from both.
//
// Two servers without a cache that split prompts in other ways show the noise of a model: the largest difference of a log probability between them. Up to
// the first token that differs both runs were given the same tokens, so a free run is teacher-forced that far. A difference of up to 4 x the noise is
// allowed, and a token may differ only where the reference's best two are closer than twice the noise.
'use strict';

// Largest difference of a log probability while the tokens agree, and the places where they part.
function compare(reference, other) {
    let largest = 0;
    const parted = [];
    reference.forEach((ref, call) => {
        const probs = ref.completion_probabilities;
        for (let i = 0; i < probs.length; i++) {
            const theirs = other[call].completion_probabilities[i];
            if (!theirs) break;
            const known = new Map(theirs.top_logprobs.map((p) => [p.id, p.logprob]));
            for (const p of probs[i].top_logprobs) if (known.has(p.id)) largest = Math.max(largest, Math.abs(known.get(p.id) - p.logprob));
            if (theirs.id !== probs[i].id) {
                // What is likelier than the chosen one is forbidden (the end of text): the best two are the chosen one and what follows it.
                const next = probs[i].top_logprobs.find((p) => p.id !== probs[i].id && p.logprob <= probs[i].logprob);
                parted.push({ call, token: i, margin: next ? probs[i].logprob - next.logprob : Infinity });
                break;
            }
        }
    });
    return { largest, parted };
}

// The places of a comparison where the tokens were not near a tie.
const forbidden = ({ parted }, noise) => parted.filter((p) => p.margin >= 2 * noise);

const allowed = (result, noise) => result.largest <= 4 * noise && forbidden(result, noise).length === 0;

// The value of a metric without labels in an answer of /metrics.
const metric = (text, name) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? NaN);

module.exports = { compare, forbidden, allowed, metric };
