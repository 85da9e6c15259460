// SPDX-License-Identifier: MIT
//
// bench/demo/texts.js - reads the texts of the demo (their format is in README.md here) into requests for /v1/chat/completions.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

// The marked parts of a file, in order: { mark, rest (of the mark's line), text (the lines behind it) }.
function parts(file) {
    const found = [];
    for (const line of fs.readFileSync(path.join(__dirname, file), 'utf8').split('\n')) {
        const mark = /^@@ (\w+) ?(.*)$/.exec(line);
        if (mark) found.push({ mark: mark[1], rest: mark[2], lines: [] });
        else if (found.length) found.at(-1).lines.push(line);
        else if (line) throw new Error(`${file}: text before the first mark`);
    }
    return found.map(({ mark, rest, lines }) => ({ mark, rest, text: lines.join('\n').trim() }));
}

// A message with what the client needs to know of it: `later` is its text from request `from` on.
function addPart(messages, part, file) {
    const last = messages.at(-1);
    if (['system', 'user', 'assistant', 'tool'].includes(part.mark)) {
        messages.push({ role: part.mark, content: part.text });
    } else if (part.mark === 'call') {
        const [, name, json] = /^(\w+) (.*)$/.exec(part.rest);
        last.tool_calls ??= [];
        last.tool_calls.push({ id: `call_${messages.length}_${last.tool_calls.length}`, type: 'function', function: { name, arguments: JSON.stringify(JSON.parse(json)) } });
    } else if (part.mark === 'becomes') {
        Object.assign(last, { later: part.text, from: Number(part.rest) });
    } else {
        throw new Error(`${file}: nobody knows what "@@ ${part.mark}" is`);
    }
}

// The requests of a conversation, the first one at [0]: before each message of the assistant, all messages up to it.
function readConversation(name) {
    const tools = JSON.parse(fs.readFileSync(path.join(__dirname, `${name}.tools.json`), 'utf8'));
    const all = [];
    for (const part of parts(`${name}.md`)) addPart(all, part, `${name}.md`);
    let calls = [];
    for (const message of all) {
        if (message.role === 'assistant') calls = (message.tool_calls || []).map((call) => call.id);
        if (message.role === 'tool') message.tool_call_id = calls.shift();
    }
    const ends = all.flatMap((message, i) => (message.role === 'assistant' ? [i] : []));
    return ends.map((end, i) => ({
        tools,
        messages: all.slice(0, end).map(({ later, from, ...message }) => (later !== undefined && i + 1 >= from ? { ...message, content: later } : message)),
    }));
}

// The auxiliary requests by name.
function readAuxiliary(conversations) {
    const requests = new Map();
    let now;
    for (const part of parts('auxiliary.md')) {
        if (part.mark === 'request') {
            now = { messages: [] };
            requests.set(part.rest, now);
        } else if (part.mark === 'continues') {
            const [name, n] = part.rest.split(' ');
            const begun = conversations[name][Number(n) - 1];
            Object.assign(now, { tools: begun.tools, messages: [...begun.messages] });
        } else {
            addPart(now.messages, part, 'auxiliary.md');
        }
    }
    return requests;
}

module.exports = { readConversation, readAuxiliary };
