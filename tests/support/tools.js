// SPDX-License-Identifier: MIT
//
// tests/support/tools.js - a chat template whose calls begin with one token, so that a model with random weights can be made to call: the token gets a
// bias, and the grammar does the rest.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { temporaryFolder } = require('./server.js');

const CALL = '<|fim_prefix|>', CALLED = '<|fim_suffix|>';
const template = `{%- if tools -%}<|im_start|>system
{% for t in tools %}{{ t | tojson }}
{% endfor %}<|im_end|>
{% endif -%}
{%- for m in messages -%}<|im_start|>{{ m.role }}
{% if m.tool_calls -%}{%- for t in m.tool_calls -%}${CALL}{"name": "{{ t.function.name }}", "arguments": {{ t.function.arguments | tojson }}}${CALLED}{%- endfor -%}{%- else -%}{{ m.content }}{%- endif -%}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
`;

// Arguments for a server whose model has the vocabulary of qwen2.
function templateArgs() {
    const file = path.join(temporaryFolder(), 'template.jinja');
    fs.writeFileSync(file, template);
    return ['--chat-template-file', file];
}

// logit_bias: `calls` makes calls, one after the other; `once` ends as soon as the grammar lets it, so that it takes a choice that requires a call.
async function biases(server) {
    const [call, end] = await Promise.all([CALL, '<|im_end|>'].map(async (content) => (await server.ask('/tokenize', { content })).tokens[0]));
    return { calls: [[call, 1000]], once: [[end, 1000], [call, 500]] };
}

const parameters = { type: 'object', properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } }, required: ['city'] };

module.exports = { templateArgs, biases, parameters };
