// llama_peer.mjs PACKAGES QUESTIONS.json ANSWERS.json: what llama.cpp answers to the questions of llama_peer.t.
// PACKAGES holds node_modules with node-llama-cpp (tests/peers.sh). A question: { model, only_words, kv, ask: [[what, ...], ...] }
//   ["logprobs", ids]      ln p of every token behind the ids
//   ["greedy", ids, n]     the likeliest n tokens behind them, one after another
//   ["tokens", text, special]
import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";

const [packages, questions, answers] = process.argv.slice(2);
const index = path.resolve(packages, "node_modules/node-llama-cpp/dist/index.js");
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(index));
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: 1 });

async function* follow(sequence, ids, probabilities) {
  await sequence.clearHistory();
  yield* sequence.evaluateWithMetadata(ids, { probabilities }, { temperature: 0, yieldEogToken: true });
}

const asked = {
  async logprobs(_, sequence, ids) {
    for await (const next of follow(sequence, ids, true)) {
      const out = [];
      for (const [id, p] of next.probabilities) out[id] = Math.log(p);
      return out;
    }
  },
  async greedy(_, sequence, ids, n) {
    const out = [];
    for await (const next of follow(sequence, ids, false)) {
      out.push(next.token);
      if (out.length === n) break;
    }
    return out;
  },
  async tokens(model, _, text, special) {
    return Array.from(model.tokenize(text, special));
  },
};

const all = [];
for (const q of JSON.parse(fs.readFileSync(questions, "utf8"))) {
  const model = await llama.loadModel({ modelPath: q.model, vocabOnly: q.only_words });
  const context = q.only_words ? null : await model.createContext({
    contextSize: 256, threads: 1, flashAttention: false, experimentalKvCacheKeyType: q.kv, experimentalKvCacheValueType: q.kv,
  });
  const sequence = context?.getSequence(), out = [];
  for (const [what, ...rest] of q.ask) out.push(await asked[what](model, sequence, ...rest));
  all.push(out);
  await context?.dispose();
  await model.dispose();
}
fs.writeFileSync(answers, JSON.stringify(all));
