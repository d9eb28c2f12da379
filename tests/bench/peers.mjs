// peers.mjs PACKAGES MODEL THREADS PROMPTS TOKENS SEED: llama.cpp's side of `make bench-peers`; see peers.lua for what it prints.
// own_bytes: what node itself held before the model came; start_ms: from there to the first token.
import path from "path";
import { pathToFileURL } from "url";

const [packages, modelPath, ...numbers] = process.argv.slice(2);
const [threads, prompts, tokens, seed] = numbers.map(Number);
const index = path.resolve(packages, "node_modules/node-llama-cpp/dist/index.js");
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(index));
const own_bytes = process.memoryUsage().rss, began = performance.now();
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: threads });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads, flashAttention: "auto" });
const sequence = context.getSequence();

let state = seed;
function drawn(n) {
  return Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 300 + (state >>> 8) % 30700;
  });
}

async function written(ids, n) {
  await sequence.clearHistory();
  const at = [];
  for await (const _ of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    at.push(performance.now());
    if (at.length === n) return at;
  }
}

const start_ms = (await written([1], 1))[0] - began;
await written(drawn(64), 4);
const prompt_ms = [];
for (let i = 0; i < prompts; i++) {
  await sequence.clearHistory();
  const ids = drawn(512), from = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(ids);
  prompt_ms.push(performance.now() - from);
}
const at = await written([1], tokens);
const token_ms = at.slice(1).map((t, i) => t - at[i]);
console.log(JSON.stringify({ prompt_ms, token_ms, start_ms, own_bytes }));
process.exit(0);
