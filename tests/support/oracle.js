// SPDX-License-Identifier: MIT
//
// tests/support/oracle.js - the fewest prompt tokens that any server must compute for these prompts (arrays of tokens, in the order in which they are
// asked): what no earlier prompt began with, and always the last one, whose logits are needed.
'use strict';

function oracle(prompts) {
    const tree = new Map();
    let sum = 0;
    for (const tokens of prompts) {
        let node = tree;
        let known = 0;
        for (const [i, token] of tokens.entries()) {
            if (!node.has(token)) node.set(token, new Map());
            else if (known === i) known++;
            node = node.get(token);
        }
        sum += Math.max(1, tokens.length - known);
    }
    return sum;
}

module.exports = { oracle };
