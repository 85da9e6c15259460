// SPDX-License-Identifier: MIT
//
// tests/support/lora.js - LoRA adapters with random weights for models made by `warmslot mkmodel dense`: a GGUF file of one pair of matrices,
// for the values of the first layer.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { temporaryFolder } = require('./server.js');

const STRING = 8, FLOAT32 = 6, UINT32 = 4, ARRAY = 9, RANK = 4, ALIGNMENT = 32;

const u32 = (x) => {
    const b = Buffer.alloc(4);
    b.writeUInt32LE(x);
    return b;
};
const u64 = (x) => {
    const b = Buffer.alloc(8);
    b.writeBigUInt64LE(BigInt(x));
    return b;
};
const f32 = (list) => Buffer.from(Float32Array.from(list).buffer);
const string = (s) => Buffer.concat([u64(Buffer.byteLength(s)), Buffer.from(s)]);
const pad = (b) => Buffer.concat([b, Buffer.alloc((ALIGNMENT - (b.length % ALIGNMENT)) % ALIGNMENT)]);

// Numbers in -0.5..0.5 that are the same in every run.
function random(n, seed) {
    let state = BigInt(seed) * 7919n + 1n;
    return Array.from({ length: n }, () => {
        state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
        return Number(state >> 40n) / 2 ** 24 - 0.5;
    });
}

// columns and rows: of the model's blk.0.attn_v.weight. invocation: the tokens that an aLoRA waits for.
function loraBytes({ seed = 1, arch = 'qwen3', columns, rows, taskName, invocation }) {
    const values = [
        ['general.type', STRING, string('adapter')],
        ['general.architecture', STRING, string(arch)],
        ['adapter.type', STRING, string('lora')],
        ['adapter.lora.alpha', FLOAT32, f32([8 * RANK])],
        ...(taskName ? [['adapter.lora.task_name', STRING, string(taskName)]] : []),
        ...(invocation ? [['adapter.alora.invocation_tokens', ARRAY, Buffer.concat([u32(UINT32), u64(invocation.length), ...invocation.map(u32)])]] : []),
    ];
    const tensors = [
        ['blk.0.attn_v.weight.lora_a', columns, RANK],
        ['blk.0.attn_v.weight.lora_b', RANK, rows],
    ];
    const data = tensors.map(([, x, y], i) => pad(f32(random(x * y, seed * 2 + i))));
    let offset = 0;
    const infos = tensors.map(([name, x, y], i) => {
        const info = Buffer.concat([string(name), u32(2), u64(x), u64(y), u32(0), u64(offset)]);
        offset += data[i].length;
        return info;
    });
    const head = Buffer.concat([
        Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(values.length),
        ...values.flatMap(([key, type, value]) => [string(key), u32(type), value]),
        ...infos,
    ]);
    return Buffer.concat([pad(head), ...data]);
}

let folder, n = 0;
function makeLora(options) {
    folder ??= temporaryFolder();
    const file = path.join(folder, `lora${n++}.gguf`);
    fs.writeFileSync(file, loraBytes(options));
    return file;
}

module.exports = { makeLora, loraBytes };
